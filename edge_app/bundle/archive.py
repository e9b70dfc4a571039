"""Read and write a model bundle: one deterministic tar whose every byte is accounted for.

docs/bundle_format.md has the bytes, verify.py the order of the checks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_app.bundle.contents import (
    GRAPH_SUFFIX,
    MANIFEST,
    SIGNATURE,
    BundleLimits,
    check_name,
    check_references,
    parse_manifest,
)
from edge_app.bundle.manifest import Manifest, Member, Variant, stamped
from edge_app.bundle.trusted_keys import TrustPolicy
from edge_app.bundle.ustar import end_bytes, entry_bytes
from edge_app.bundle.verify import VerifiedBundle, read_contents
from edge_app.errors import BundleError
from edge_app.store.output_file import check_replaceable, put_in_place

__all__ = [
    "MANIFEST",
    "SIGNATURE",
    "Bundle",
    "BundleLimits",
    "parse_manifest",
    "read_bundle",
    "write_bundle",
]


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle whose digests have been checked, in memory.

    Attributes:
        sha256: of the whole tar file.
        files: member name → bytes, without manifest.json and bundle.sig.
        is_signed: a bundle.sig member is present; `verified` says whether it was verified.
        verified: what a trusted key vouches for; None if it was read without trust.
    """

    sha256: str
    manifest: Manifest
    files: Mapping[str, bytes]
    is_signed: bool
    verified: VerifiedBundle | None = None

    def variant(self, precision: str | None = None) -> Variant:
        """Return the variant of that precision, or the preferred one.

        Raises:
            BundleError: there is none of that precision.
        """
        for variant in self.manifest.variants:
            if precision in (None, variant.precision):
                return variant
        have = ", ".join(v.precision for v in self.manifest.variants)
        raise BundleError(f"The bundle has no {precision} variant, only {have}.")


def read_bundle(
    path: Path,
    limits: BundleLimits | None = None,
    trust: TrustPolicy | None = None,
    may_be_unsigned: bool = False,
) -> Bundle:
    """Return the bundle at `path` with every member's digest checked.

    Args:
        trust: with it an unsigned bundle, or one signed by nobody trusted, is refused before
            anything in it is parsed. None: signatures are ignored.
        may_be_unsigned: accept a bundle without a signature in spite of `trust`.

    Raises:
        BundleError: it is missing, too large, damaged, incomplete, altered or not trusted; the
            message names the extra, missing and changed files.
    """
    found = read_contents(path, limits or BundleLimits(), trust, True, may_be_unsigned)
    return Bundle(found.sha256, found.manifest, found.files, found.has_signature, found.verified)


def write_bundle(path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """Write an unsigned bundle; the same manifest and files always give the same bytes.

    Args:
        manifest: its `members`, `format` and `requires` are filled in here.
        files: member name → bytes.

    Returns:
        The tar file's sha256.

    Raises:
        BundleError: a name is not allowed, or the manifest refers to a missing file.
    """
    for name in files:
        check_name(name, path.name)
        if name in (MANIFEST, SIGNATURE):
            raise BundleError(f"Bundle {path.name}: {name} is generated and cannot be passed in.")
    members = {
        name: Member(sha256=hashlib.sha256(data).hexdigest(), length=len(data))
        for name, data in sorted(files.items(), key=lambda item: _order(item[0]))
    }
    complete = stamped(manifest.model_copy(update={"members": members}))
    check_references(complete, files, path.name)
    text = complete.model_dump_json(indent=1).encode()
    data = entry_bytes(MANIFEST, text) + b"".join(entry_bytes(n, files[n]) for n in members)
    data += end_bytes(len(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    check_replaceable(path)
    partial.write_bytes(data)
    put_in_place(partial, path)
    return hashlib.sha256(data).hexdigest()


def _order(name: str) -> tuple[int, str]:
    """Graphs first, golden pictures next, the rest last."""
    return (0 if name.endswith(GRAPH_SUFFIX) else 1 if name.startswith("golden/") else 2), name
