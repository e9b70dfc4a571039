"""Signed bundles for tests, whole or crooked: an attacker's tar writer and a signer's keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from deploy.bundles.sign import make_signature
from edge_app.bundle.archive import write_bundle
from edge_app.bundle.contents import BundleLimits
from edge_app.bundle.manifest import Manifest
from edge_app.bundle.signature import SigningTerms
from edge_app.bundle.trusted_keys import TrustedKey, TrustPolicy, key_id_of
from edge_app.bundle.ustar import BLOCK, end_bytes, header
from edge_app.bundle.verify import read_contents
from support.small_bundles import GRAPHS, bright_manifest

Members = list[tuple[str | bytes, bytes]]
"""Name → content; a header of 512 bytes in place of a name is taken as it is."""

NO_TERMS = SigningTerms()


@dataclass(frozen=True)
class Signer:
    """Somebody with a key pair."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def key_id(self) -> str:
        return key_id_of(self.key.public_key())

    def public(self, expires_at: datetime | None = None) -> TrustedKey:
        return TrustedKey(self.key_id, self.name, self.key.public_key(), expires_at)

    def sign(self, members: Members, terms: SigningTerms = NO_TERMS) -> bytes:
        """Return the bundle.sig over plainly named members."""
        digests = {n: hashlib.sha256(data).hexdigest() for n, data in members if isinstance(n, str)}
        return make_signature("bright", digests, self.key, terms)


def trusting(*keys: TrustedKey, revoked: Sequence[str] = ()) -> TrustPolicy:
    """Return a policy with these keys."""
    return TrustPolicy({k.key_id: k for k in keys}, frozenset(revoked), Path("keys"))


def full_files() -> dict[str, bytes]:
    """Return one file of every kind a bundle has."""
    return {
        "inspector.onnx": (GRAPHS / "bright_inspector.onnx").read_bytes(),
        "golden/0001.jpg": b"a golden picture" * 10,
        "report.html": b"<p>what was built from what</p>",
    }


def members_of(
    folder: Path, files: dict[str, bytes] | None = None, manifest: Manifest | None = None
) -> Members:
    """Return the members of a correct unsigned bundle, manifest.json first."""
    path = folder / "unsigned.bundle"
    files = files or full_files()
    write_bundle(path, manifest or bright_manifest(), files)
    raw = path.read_bytes()
    path.unlink()
    text = raw[BLOCK : BLOCK + int(raw[124:135], 8)]
    return [("manifest.json", text), *((name, files[name]) for name in json.loads(text)["members"])]


def tar_of(members: Members) -> bytes:
    """Return a tar file as an attacker would write it: nothing is checked."""
    body, signature_length = b"", 0
    for name, data in members:
        head = name if isinstance(name, bytes) else header(name, len(data))
        body += head + data + b"\0" * (-len(data) % BLOCK)
        if name == "bundle.sig" and not signature_length:
            signature_length = len(body)
    return body + end_bytes(len(body) - signature_length)


def signed_tar(members: Members, signer: Signer, terms: SigningTerms = NO_TERMS) -> bytes:
    """Return the members behind a signature over exactly them."""
    return tar_of([("bundle.sig", signer.sign(members, terms)), *members])


def write_signed(
    path: Path,
    signer: Signer,
    manifest: Manifest | None = None,
    terms: SigningTerms = NO_TERMS,
) -> Path:
    """Write a correct signed bundle and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(signed_tar(members_of(path.parent, manifest=manifest), signer, terms))
    read_contents(path, BundleLimits(), None, keeps_all=True)
    return path
