"""Prepend a signature to a bundle; none of its other bytes changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from edge_app.bundle.contents import MAX_SIGNATURE_BYTES, SIGNATURE, BundleLimits
from edge_app.bundle.signature import (
    SigningTerms,
    pae,
    signature_bytes,
    statement_bytes,
    with_low_s,
)
from edge_app.bundle.trusted_keys import TrustedKey, TrustPolicy, key_id_of
from edge_app.bundle.ustar import entry_bytes
from edge_app.bundle.verify import VerifiedBundle, read_contents, verify_bundle
from edge_app.errors import BundleError, ConfigError
from edge_app.store.output_file import put_in_place

WORKSTATION_LIMITS = BundleLimits(max_bytes=16_384 << 20)
"""The largest that a device can be configured to accept."""


def sign_bundle(
    bundle: Path, key: ec.EllipticCurvePrivateKey, out: Path, terms: SigningTerms
) -> VerifiedBundle:
    """Write the signed bundle; return what a device that trusts the key reads from it.

    A signature that `bundle` has already is replaced. `out` appears only once it has been verified
    with the key's public half; it may be `bundle` itself.

    Raises:
        BundleError: the bundle is damaged or incomplete.
        ConfigError: `out` cannot be written.
    """
    contents = read_contents(bundle, WORKSTATION_LIMITS, trust=None, keeps_all=False)
    text = make_signature(contents.manifest.product, contents.digests, key, terms)
    if len(text) > MAX_SIGNATURE_BYTES:
        raise BundleError(f"{bundle.name} has too many files for a signature of this format.")
    partial = out.with_name(out.name + ".partial")
    own = TrustedKey(key_id_of(key.public_key()), "the signing key", key.public_key())
    try:
        _copy_behind(entry_bytes(SIGNATURE, text), bundle, contents.body_offset, partial)
        verified = verify_bundle(partial, TrustPolicy({own.key_id: own}), WORKSTATION_LIMITS)
        put_in_place(partial, out)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return verified


def make_signature(
    product: str, digests: Mapping[str, str], key: ec.EllipticCurvePrivateKey, terms: SigningTerms
) -> bytes:
    """Return the content of bundle.sig.

    Args:
        digests: member name → sha256, every member but bundle.sig.
    """
    payload = statement_bytes(product, digests, terms)
    signature = key.sign(pae(payload), ec.ECDSA(hashes.SHA256()))
    return signature_bytes(payload, with_low_s(signature), key_id_of(key.public_key()))


def _copy_behind(head: bytes, source: Path, offset: int, out: Path) -> None:
    """Write `head` and the rest of `source` from `offset` on, flushed to the disk."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as original, out.open("wb") as copy:
        original.seek(offset)
        copy.write(head)
        while chunk := original.read(1 << 20):
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
