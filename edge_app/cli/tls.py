"""`edge-app tls`: a certificate for the page, and the fingerprint by which people know it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_app.cli.parser import add_command, text
from edge_app.errors import ConfigError, OutputError

CONFIG = "/etc/cropliq-edge"


def add_tls_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add `tls` to `edge-app`."""
    tls = add_command(
        commands,
        "tls",
        "make the page's certificate, or show its fingerprint",
        "edge-app tls make",
        "edge-app tls make --name press-3.plant.example --name 10.0.4.17",
    )
    verbs = tls.add_subparsers(dest="verb", required=True, metavar="VERB")
    make = add_command(
        verbs,
        "make",
        "make a certificate that proves itself, and its key",
        "edge-app tls make --name press-3.plant.example",
    )
    make.add_argument(
        "--name",
        action="append",
        type=text(253),
        metavar="HOST",
        help="a name or address by which people open the page; may be repeated (default: this "
        "machine's own)",
    )
    make.add_argument("--renew", action="store_true", help="replace the one that is there")
    make.set_defaults(work=_make)
    show = add_command(
        verbs, "show", "show the fingerprint of the certificate", "edge-app tls show"
    )
    show.set_defaults(work=_show)
    for parser in (make, show):
        parser.add_argument(
            "--folder",
            type=Path,
            default=Path(CONFIG),
            metavar="DIR",
            help=f"of page.crt and credentials/page.key (default: {CONFIG})",
        )


def _make(args: argparse.Namespace) -> int:
    from edge_app.page.tls_make import make_certificate, own_names, utc_now
    from edge_app.store.durable_write import perform, write_durably

    certificate, key = _files(args.folder)
    if not args.renew and (key.is_file() and key.stat().st_size > 0):
        raise OutputError(f"{key} is there already. --renew replaces it and {certificate}.")
    made = make_certificate(args.name or own_names(), utc_now())
    if not key.parent.is_dir():
        key.parent.mkdir(mode=0o700, parents=True)
    write_durably(perform, key, made.key_pem.encode(), is_private=True)
    write_durably(perform, certificate, made.chain_pem.encode())
    certificate.chmod(0o644)
    _tell(made.fingerprint)
    print(
        f'Put into [page] of the configuration: tls_certificate = "{certificate.name}" and '
        f'tls_key = "{key.parent.name}/{key.name}", then restart: systemctl restart edge-app'
    )
    return 0


def _show(args: argparse.Namespace) -> int:
    from edge_app.config.page_certificate import ServerCertificate
    from edge_app.host.small_file import read_small_text

    certificate, _ = _files(args.folder)
    if not certificate.is_file():
        raise ConfigError(f"There is no {certificate}: make it with `edge-app tls make`.")
    _tell(ServerCertificate(read_small_text(certificate), "").fingerprint)
    return 0


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / "page.crt", folder / "credentials" / "page.key"


def _tell(fingerprint: str) -> None:
    print(f"SHA-256 fingerprint: {fingerprint}")
    print("A browser warns at first: compare this with what it shows, and keep it as an exception.")
