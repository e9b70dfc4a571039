"""`edge-deploy keygen | sign | verify`: their arguments and what they print."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.border import NO
from edge_app.cli.parser import set_examples

if TYPE_CHECKING:
    from edge_app.bundle.trusted_keys import TrustPolicy
    from edge_app.bundle.verify import VerifiedBundle
    from edge_app.mqtt.topics import DeviceName


def add_trust_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the three commands to `edge-deploy`."""
    keygen = commands.add_parser(
        "keygen",
        help="create a key pair for signing bundles or commands",
        description="Create a key pair for signing bundles or commands.",
    )
    set_examples(keygen, "edge-deploy keygen --out keys --name line1 --expires 2028-01-31")
    keygen.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the two files"
    )
    keygen.add_argument(
        "--name",
        default="bundle-signing",
        help="name of the two files, NAME.key and NAME.pub (default: bundle-signing)",
    )
    keygen.add_argument(
        "--expires",
        metavar="DATE",
        help="date from which the key is not accepted, e.g. 2028-01-31 (default: never)",
    )
    add_passphrase(keygen)
    keygen.set_defaults(work=_keygen)

    sign = commands.add_parser(
        "sign",
        help="sign a bundle for devices that trust the key",
        description="Sign a bundle for devices that trust the key.",
    )
    set_examples(sign, "edge-deploy sign part.bundle --key keys/line1.key --out part.signed.bundle")
    sign.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle to sign")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE.key", help="the private key")
    sign.add_argument(
        "--out", type=Path, required=True, metavar="SIGNED", help="the signed bundle to write"
    )
    sign.add_argument(
        "--expires",
        metavar="DATE",
        help="date from which no device installs it, e.g. 2027-06-01 (default: never)",
    )
    sign.add_argument(
        "--allow-back",
        action="store_true",
        help="allow devices to return to it from a newer serial",
    )
    add_passphrase(sign)
    sign.set_defaults(work=_sign)

    verify = commands.add_parser(
        "verify",
        help="check a bundle's signature as a device does",
        description="Check a bundle's signature as a device does.",
    )
    set_examples(verify, "edge-deploy verify part.signed.bundle --keys keys --device graz/l2/d3")
    verify.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle to check")
    verify.add_argument(
        "--keys", type=Path, required=True, metavar="DIR", help="folder of trusted public keys"
    )
    verify.add_argument(
        "--device",
        metavar="SITE/LINE/DEVICE",
        help="also check that the bundle is meant for this device",
    )
    verify.set_defaults(work=_verify)


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a private key's passphrase."""
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="file whose first line is the key's passphrase (default: the environment variable "
        "CROPLIQ_KEY_PASSPHRASE, else none)",
    )


def _keygen(arguments: argparse.Namespace) -> int:
    from deploy.bundles.keys import (
        PASSPHRASE_VARIABLE,
        PRIVATE_SUFFIX,
        generate_key,
        read_passphrase,
    )
    from edge_app.bundle.trusted_keys import KEY_SUFFIX

    passphrase = read_passphrase(arguments.passphrase_file, os.environ)
    expires_at = _future(arguments.expires)
    key = generate_key(arguments.out, arguments.name, passphrase, expires_at)
    base = arguments.out / arguments.name
    print(f"key id   {key.key_id}")
    print(f"private  {base}{PRIVATE_SUFFIX}   keep it off the devices")
    print(f"public   {base}{KEY_SUFFIX}   copy it to every device's bundle.trusted_keys_dir,")
    print("         or, for an operator who changes products, to its agent.operator_keys_dir")
    if passphrase is None:
        print(f"The private key is not encrypted; set {PASSPHRASE_VARIABLE} to encrypt it.")
    return 0


def _sign(arguments: argparse.Namespace) -> int:
    from deploy.bundles.keys import load_private_key, read_passphrase
    from deploy.bundles.sign import sign_bundle
    from edge_app.bundle.signature import SigningTerms

    passphrase = read_passphrase(arguments.passphrase_file, os.environ)
    key = load_private_key(arguments.key, passphrase)
    terms = SigningTerms(expires_at=_future(arguments.expires), allow_back=arguments.allow_back)
    _print_verified(sign_bundle(arguments.bundle, key, arguments.out, terms))
    print(f"written  {arguments.out}, {arguments.out.stat().st_size} bytes")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    """Return 0, or 1 with the reason for a bundle that a device would refuse."""
    from edge_app.bundle.trusted_keys import load_trust
    from edge_app.errors import BundleError
    from edge_app.mqtt.topics import DeviceName

    device = None if arguments.device is None else DeviceName.parse(arguments.device)
    trust = load_trust(arguments.keys)
    # A file that cannot be read is no answer about its content; O_NONBLOCK: nor is a pipe.
    os.close(os.open(arguments.bundle, os.O_RDONLY | os.O_NONBLOCK))
    try:
        _print_verified(_verified(arguments.bundle, trust, device))
    except BundleError as error:
        print(f"edge-deploy verify: {error}", file=sys.stderr)
        return NO
    return 0


def _verified(bundle: Path, trust: TrustPolicy, device: DeviceName | None) -> VerifiedBundle:
    """Return what a device would make of a bundle.

    Raises:
        BundleError: a device would refuse it.
    """
    from deploy.bundles.sign import WORKSTATION_LIMITS
    from edge_app.bundle.admission_rules import check_not_expired, check_target
    from edge_app.bundle.verify import verify_bundle

    verified = verify_bundle(bundle, trust, WORKSTATION_LIMITS)
    check_not_expired(verified.manifest, verified.expiry, datetime.now(timezone.utc))
    if device is not None:
        check_target(verified.manifest, device)
    return verified


def _print_verified(verified: VerifiedBundle) -> None:
    manifest, expiry = verified.manifest, verified.expiry
    print(f"product  {manifest.product}, serial {manifest.serial}")
    print(f"for      {', '.join(manifest.targets)}")
    print(f"sha256   {verified.sha256}")
    print(f"signed   by key {verified.key_id}")
    if expiry is not None:
        print(f"expires  {expiry.at:%Y-%m-%d %H:%M} UTC ({expiry.of})")
    if verified.allow_back:
        print("allows   returning to it from a newer serial")


def _future(text: str | None) -> datetime | None:
    """Return the moment of --expires, which must not have passed."""
    from edge_app.bundle.trusted_keys import parse_moment
    from edge_app.errors import ConfigError

    if text is None:
        return None
    moment = parse_moment(text, "--expires")
    now = datetime.now(timezone.utc)
    if moment <= now:
        raise ConfigError(
            f"--expires {text} has passed already: here it is {now:%Y-%m-%d %H:%M} UTC. Give a "
            "later one, or set this clock if it is wrong."
        )
    return moment
