"""`edge-deploy package`: its arguments and what it prints."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path
from typing import Any

from deploy.cli.keys import add_passphrase
from deploy.package.wheels import EXTRAS
from edge_app.cli.parser import set_examples
from edge_app.errors import ConfigError, nearest_of

MACHINES = ("aarch64", "x86_64")


def add_package_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `edge-deploy`."""
    package = commands.add_parser(
        "package",
        help="write an archive that installs a device",
        description="Write an archive that installs a device.",
    )
    set_examples(
        package,
        "edge-deploy package --out install.tar --keys keys",
        "edge-deploy package --out install.tar --keys keys --sign-with keys/bundle-signing.key",
        "edge-deploy package --out install.tar --keys keys --offline --platform aarch64 "
        "--python 3.10 --extras basler,rtsp",
    )
    package.add_argument(
        "--out", type=Path, required=True, metavar="FILE.tar", help="the archive to write"
    )
    package.add_argument(
        "--keys",
        type=Path,
        metavar="DIR",
        help="public keys, *.pub, for bundles: devices accept bundles signed with them",
    )
    package.add_argument(
        "--operator-keys",
        type=Path,
        metavar="DIR",
        help="operators' public keys, *.pub: devices accept commands signed with them",
    )
    package.add_argument(
        "--sign-with",
        type=Path,
        metavar="KEY.key",
        help="sign the archive: devices that trust keys install no other (default: unsigned)",
    )
    add_passphrase(package)
    package.add_argument(
        "--extras",
        type=_extras,
        default=(),
        metavar="NAME,NAME",
        help=f"optional libraries, of {', '.join(EXTRAS)}: cameras and picture formats that need "
        "them (default: none; a device keeps those it has)",
    )
    package.add_argument(
        "--offline",
        action="store_true",
        help="include all wheels, so that the device needs no network",
    )
    package.add_argument(
        "--python",
        metavar="X.Y",
        help="the device's Python version; needs --offline (default: this machine's)",
    )
    package.add_argument(
        "--platform",
        choices=MACHINES,
        help="the device's processor; needs --offline (default: this machine's)",
    )
    package.add_argument(
        "--constraints",
        type=Path,
        metavar="FILE",
        help="versions to install (default: the tested ones, constraints.txt)",
    )
    package.set_defaults(work=_package)


def _extras(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in EXTRAS:
            raise argparse.ArgumentTypeError(
                f"unknown extra {name[:40]!r}{nearest_of(name, EXTRAS)}. Expected some of: "
                f"{', '.join(EXTRAS)}, with commas between them"
            )
    return names


def _check_early(arguments: argparse.Namespace) -> None:
    """Refuse, before a wheel is built, what cannot be written or read.

    Raises:
        ConfigError: --out or --constraints is of no use.
    """
    out, constraints = arguments.out, arguments.constraints
    if out.is_dir() or (out.exists() and not out.is_file()):
        raise ConfigError(f"--out {out} is no file. Expected the name of the archive to write.")
    if (
        not os.access(out.absolute().parent, os.W_OK | os.X_OK)
        or not out.absolute().parent.is_dir()
    ):
        raise ConfigError(f"--out {out}: its folder is not there or cannot be written. Make it.")
    if constraints is not None and not constraints.is_file():
        raise ConfigError(f"--constraints {constraints} is no file. Expected a list of versions.")


def _package(arguments: argparse.Namespace) -> int:
    from deploy.bundles.keys import load_private_key, read_passphrase
    from deploy.package.archive import PackageOptions, write_package
    from deploy.package.wheels import ROOT, Target

    if not arguments.offline and (arguments.python or arguments.platform):
        raise ConfigError(
            "--python and --platform select the wheels of --offline; without it the device "
            "downloads its own."
        )
    _check_early(arguments)
    signer = None
    if arguments.sign_with is not None:
        if arguments.keys is None:
            raise ConfigError(
                "--sign-with needs --keys, the folder with the key's public half: devices check "
                "the next archive with it."
            )
        passphrase = read_passphrase(arguments.passphrase_file, os.environ)
        signer = load_private_key(arguments.sign_with, passphrase)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    target = Target(arguments.python or here, arguments.platform or platform.machine())
    constraints = arguments.constraints or ROOT / "constraints.txt"
    offline = target if arguments.offline else None
    operators = arguments.operator_keys
    write_package(
        PackageOptions(
            arguments.out,
            arguments.keys,
            operators,
            offline,
            constraints,
            arguments.extras,
            signer,
        )
    )
    size_mb = arguments.out.stat().st_size / 2**20
    how = f"with all wheels for {target}" if offline else "the device downloads its dependencies"
    if arguments.extras:
        how += f", with {', '.join(arguments.extras)}"
    print(f"{arguments.out}: {size_mb:.1f} MB, {how}")
    if signer is None:
        print("Not signed: devices that trust keys refuse it without --unsigned (see --sign-with).")
    if arguments.keys is None:
        print("No trusted keys included: the agent accepts no bundle until the device has some.")
    return 0
