"""Read a bundle's tar once, in an order in which nothing unverified is parsed.

signature → every member streamed and hashed → all digests match → manifest → graphs' outer form.
Nothing is extracted: a verified bundle stays the one file it is (decision 0006).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_app.bundle.admission_rules import Expiry
from edge_app.bundle.contents import (
    GRAPH_SUFFIX,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    MAX_SIGNATURE_BYTES,
    SIGNATURE,
    BundleLimits,
    check_against_manifest,
    check_digests,
    check_name,
    parse_manifest,
)
from edge_app.bundle.manifest import Manifest, Member
from edge_app.bundle.onnx_external import check_self_contained
from edge_app.bundle.signature import Signed, verify_signature
from edge_app.bundle.trusted_keys import TrustPolicy
from edge_app.bundle.ustar import Entry, UstarReader
from edge_app.errors import BundleError


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """A bundle signed with a trusted key, verified byte for byte.

    Attributes:
        sha256: of the whole file.
        key_id: of the key that signed it.
        expiry: when it may no longer be installed: the earlier expiry of its signature and its
            key. An installed bundle keeps judging.
        allow_back: its signer permits returning to it from a newer serial.
    """

    sha256: str
    manifest: Manifest
    key_id: str
    expiry: Expiry | None = None
    allow_back: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """A bundle's members after every check.

    Attributes:
        files: member name → bytes, without manifest.json and bundle.sig; graphs only unless all
            were to be kept.
        digests: member name → sha256, without bundle.sig.
        has_signature: a bundle.sig is there.
        body_offset: where in the file the unsigned bundle begins, in bytes.
        verified: the verified bundle; None without trusted keys.
    """

    sha256: str
    manifest: Manifest
    files: Mapping[str, bytes]
    digests: Mapping[str, str]
    has_signature: bool
    body_offset: int
    verified: VerifiedBundle | None


def verify_bundle(
    path: Path, trust: TrustPolicy, limits: BundleLimits | None = None
) -> VerifiedBundle:
    """Return the verified bundle, after hashing every byte of the file.

    At most one graph set is in memory; nothing is written. `check_admissible` in
    `admission_rules.py` decides whether *this device* may use it *now*.

    Raises:
        BundleError: unsigned, signed by no trusted key, altered, incomplete or not a bundle.
    """
    verified = read_contents(path, limits or BundleLimits(), trust, keeps_all=False).verified
    assert verified is not None  # with a trust policy it is verified or refused
    return verified


def read_contents(
    path: Path,
    limits: BundleLimits,
    trust: TrustPolicy | None,
    keeps_all: bool,
    may_be_unsigned: bool = False,
) -> Contents:
    """Return a bundle's members, checked against its signature (with `trust`) and its manifest.

    Args:
        trust: without it a signature is not read.
        keeps_all: keep every member's bytes, not only the graphs'.
        may_be_unsigned: a bundle without a signature is accepted in spite of `trust`.

    Raises:
        BundleError: as `verify_bundle`.
    """
    label = path.name
    with _opened(path, limits) as reader:
        entry = reader.next_entry()
        text, body_offset = None, 0
        if entry is not None and entry.name == SIGNATURE:
            text = _small(reader, entry, MAX_SIGNATURE_BYTES, label)
            body_offset = reader.position
            entry = reader.next_entry()
        is_waived = text is None and may_be_unsigned
        signed = None if trust is None or is_waived else _signed(text, trust, label)
        members = _Members(reader, limits, label, keeps_all)
        while entry is not None:
            members.add(entry)
            entry = reader.next_entry()
        sha256 = reader.sha256
        has_exact_end = reader.has_exact_end(body_offset)
    if signed is not None:
        check_digests(signed.digests, members.seen, label, "its signature")
    manifest = members.checked_manifest()
    if signed is not None and signed.has_one_form:
        if not has_exact_end:
            raise _rewritten(label, "it ends in more or fewer zeros")
        if list(members.seen) != [MANIFEST, *manifest.members]:
            raise _rewritten(label, "its files are in another order")
    for name, data in members.files.items():
        if name.endswith(GRAPH_SUFFIX):
            check_self_contained(data, name, label)
    verified = None if signed is None else _verified(sha256, manifest, signed)
    digests = {name: member.sha256 for name, member in members.seen.items()}
    return Contents(
        sha256, manifest, members.files, digests, text is not None, body_offset, verified
    )


class _Members:
    """The members read so far: all hashed, some kept."""

    def __init__(
        self, reader: UstarReader, limits: BundleLimits, label: str, keeps_all: bool
    ) -> None:
        self.seen: dict[str, Member] = {}
        self.files: dict[str, bytes] = {}
        self._reader = reader
        self._limits = limits
        self._label = label
        self._keeps_all = keeps_all

    def add(self, entry: Entry) -> None:
        """Hash one member, and keep it if it is needed."""
        name = entry.name
        check_name(name, self._label)
        if name in self.seen:
            raise BundleError(f"Bundle {self._label} refused: {name} is in it twice.")
        if name == SIGNATURE:
            raise BundleError(f"Bundle {self._label} refused: {SIGNATURE} must come first.")
        if len(self.seen) >= self._limits.max_members:
            raise BundleError(
                f"Bundle {self._label} refused: more than {self._limits.max_members} files."
            )
        if name == MANIFEST:
            data = _small(self._reader, entry, MAX_MANIFEST_BYTES, self._label)
            digest = hashlib.sha256(data)
            self.files[name] = data
        elif self._keeps_all or name.endswith(GRAPH_SUFFIX):
            data = b"".join(self._reader.content(entry))
            digest = hashlib.sha256(data)
            self.files[name] = data
        else:
            digest = hashlib.sha256()
            for chunk in self._reader.content(entry):
                digest.update(chunk)
        self.seen[name] = Member(sha256=digest.hexdigest(), length=entry.length)

    def checked_manifest(self) -> Manifest:
        """Take the manifest out of the members, after checking that it describes them."""
        if MANIFEST not in self.files:
            raise BundleError(f"Bundle {self._label} has no {MANIFEST}: it is not a bundle.")
        manifest = parse_manifest(self.files.pop(MANIFEST), self._label)
        others = {n: m for n, m in self.seen.items() if n != MANIFEST}
        check_against_manifest(manifest, others, self._label)
        return manifest


def _signed(text: bytes | None, trust: TrustPolicy, label: str) -> Signed:
    if text is None:
        raise BundleError(
            f"Bundle {label} refused: it is not signed (its first member is not {SIGNATURE}), so "
            "nothing proves its origin. Sign it: edge-deploy sign BUNDLE --key KEY --out SIGNED."
        )
    return verify_signature(text, trust, label)


def _verified(sha256: str, manifest: Manifest, signed: Signed) -> VerifiedBundle:
    ends = [
        Expiry(at, of)
        for at, of in (
            (signed.terms.expires_at, "its signature"),
            (signed.key.expires_at, f"the key {signed.key.name}"),
        )
        if at is not None
    ]
    expiry = min(ends, key=lambda e: e.at, default=None)
    return VerifiedBundle(sha256, manifest, signed.key.key_id, expiry, signed.terms.allow_back)


def _rewritten(label: str, how: str) -> BundleError:
    return BundleError(
        f"Bundle {label} refused: {how} than edge-export writes, so it is not the file that was "
        "signed. Copy it again, or build and sign it again."
    )


def _small(reader: UstarReader, entry: Entry, max_bytes: int, label: str) -> bytes:
    """Return a member's content, refusing before it is read one that is too large."""
    if entry.length > max_bytes:
        raise BundleError(
            f"Bundle {label} refused: {entry.name} is larger than {max_bytes} bytes "
            f"({entry.length})."
        )
    return b"".join(reader.content(entry))


@contextmanager
def _opened(path: Path, limits: BundleLimits) -> Iterator[UstarReader]:
    """Open a plain file of acceptable length; a pipe or a device would block or never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"Bundle {path} refused: it is not a plain file.")
            if status.st_size > limits.max_bytes:
                raise BundleError(
                    f"Bundle {path.name} is {status.st_size} bytes, more than the "
                    f"{limits.max_bytes} this device allows (bundle.max_bundle_mb)."
                )
            yield UstarReader(file, status.st_size, path.name)
    except OSError as error:
        raise BundleError(f"Bundle {path} cannot be read: {error.strerror}.") from error
