"""One archive that installs an inspecting device.

cropliq-edge-device/
    install.sh              packaging/install.sh
    SHA256SUMS              of every other file; install.sh checks it first and uses nothing else
    SHA256SUMS.sig          the signer's ECDSA P-256 signature over it (ASN.1 DER, SHA-256)
    wheels/                 edge_app, and with a target all its dependencies
    constraints.txt         every library to install: one version, and its files' sha256
    EXTRAS                  the optional camera libraries among them, one a line
    keep_extras.py          packaging/keep_extras.py
    OFFLINE                 the target, e.g. "python 3.10 aarch64"; only with one
    systemd/*.service
    edge-app.example.toml
    trusted_keys/           *.pub and revoked.txt: who signs bundles
    operator_keys/          the same: who may change products over MQTT
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.package.keys import TRUSTED, check_signer, copy_keys
from deploy.package.wheels import (
    ROOT,
    Target,
    build_device_wheel,
    download_dependencies,
    pin_dependencies,
)
from edge_app.bundle.signature import with_low_s
from edge_app.store.output_file import check_replaceable, put_in_place

FOLDER = "cropliq-edge-device"
SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"


@dataclass(frozen=True, slots=True)
class PackageOptions:
    """What to pack.

    Attributes:
        out: the archive to write; replaced if it exists.
        keys: folder with the public keys that devices trust, or None.
        operator_keys: folder with the public keys whose commands devices accept, or None.
        offline: pack the dependencies' wheels for this device too; None: the device fetches them.
        constraints: versions to install.
        extras: optional libraries, of `wheels.EXTRAS`.
        signer: signs the archive; its public half must be among `keys`. None: unsigned.
    """

    out: Path
    keys: Path | None = None
    operator_keys: Path | None = None
    offline: Target | None = None
    constraints: Path = ROOT / "constraints.txt"
    extras: tuple[str, ...] = ()
    signer: ec.EllipticCurvePrivateKey | None = None


def write_package(options: PackageOptions) -> None:
    """Write the archive; the same sources and versions give the same bytes but for a signature.

    Raises:
        ConfigError, DataError: a wheel cannot be built or fetched, or no device would trust the
            signer; see also `copy_keys`.
    """
    check_replaceable(options.out)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / FOLDER
        _fill(folder, options)
        sums = "".join(f"{_sha256(p)}  {p.relative_to(folder)}\n" for p in _files(folder))
        (folder / SUMS).write_text(sums)
        if options.signer is not None:
            signature = options.signer.sign(sums.encode(), ec.ECDSA(hashes.SHA256()))
            (folder / SIGNATURE).write_bytes(with_low_s(signature))
        partial = options.out.with_name(options.out.name + ".partial")
        partial.write_bytes(_tar_of(folder))
        put_in_place(partial, options.out)


def _fill(folder: Path, options: PackageOptions) -> None:
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    copy_keys(options.keys, options.operator_keys, folder)
    if options.signer is not None:
        check_signer(options.signer.public_key(), folder / TRUSTED)
    wheel = build_device_wheel(wheels)
    pins = folder / "constraints.txt"
    pin_dependencies(wheel, options.extras, options.offline, options.constraints, pins)
    if options.offline is not None:
        download_dependencies(pins, options.offline, wheels)
        (folder / "OFFLINE").write_text(f"{options.offline}\n")
    (folder / "EXTRAS").write_text("".join(f"{extra}\n" for extra in options.extras))
    for name in ("install.sh", "keep_extras.py"):
        shutil.copy(ROOT / "packaging" / name, folder)
    shutil.copy(ROOT / "edge_app" / "assets" / "edge-app.example.toml", folder)
    shutil.copytree(ROOT / "systemd", folder / "systemd")


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _tar_of(folder: Path) -> bytes:
    """Return a tar of the folder without times and owners of this machine."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for file in _files(folder):
            member = tarfile.TarInfo(f"{FOLDER}/{file.relative_to(folder)}")
            member.size = file.stat().st_size
            member.mode = 0o755 if file.suffix == ".sh" else 0o644
            with file.open("rb") as content:
                tar.addfile(member, content)
    return raw.getvalue()
