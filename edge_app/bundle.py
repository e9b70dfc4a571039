"""Read and write a model bundle: one deterministic tar whose every byte is accounted for.

Reading checks names, kinds, sizes and digests before any parser but JSON's sees a byte.
Signatures arrive with issue D; until then every bundle is unsigned, and `run` refuses it unless
the configuration says `allow_unsigned = true`.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edge_app.errors import BundleError
from edge_app.manifest import Manifest, Member, Variant

MANIFEST = "manifest.json"
SIGNATURE = "bundle.sig"

_NAME = re.compile(r"^(golden/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
_MAX_MANIFEST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """What a device is willing to read, from its own configuration, never from the bundle."""

    max_bytes: int = 512 * 1024 * 1024
    max_members: int = 200


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle whose digests have been checked, in memory.

    Attributes:
        sha256: of the whole tar file.
        files: member name → bytes, without manifest.json and bundle.sig.
        is_signed: a bundle.sig member is present. It has not been verified here.
    """

    sha256: str
    manifest: Manifest
    files: Mapping[str, bytes]
    is_signed: bool

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


def read_bundle(path: Path, limits: BundleLimits | None = None) -> Bundle:
    """Return the bundle at `path` with every member's digest checked.

    Raises:
        BundleError: it is missing, too large, damaged, incomplete or altered; the message names
            the extra, missing and changed files.
    """
    limits = limits or BundleLimits()
    try:
        if path.stat().st_size > limits.max_bytes:
            raise BundleError(
                f"Bundle {path.name} is {path.stat().st_size} bytes, more than the "
                f"{limits.max_bytes} this device allows (bundle.max_bundle_mb)."
            )
        raw = path.read_bytes()
    except OSError as error:
        raise BundleError(f"Bundle {path} cannot be read: {error.strerror}.") from error
    members = _members(raw, path.name, limits)
    if MANIFEST not in members:
        raise BundleError(f"Bundle {path.name} has no {MANIFEST}: it is no bundle.")
    manifest = parse_manifest(members.pop(MANIFEST), path.name)
    is_signed = members.pop(SIGNATURE, None) is not None
    _check_digests(manifest, members, path.name)
    _check_references(manifest, members, path.name)
    return Bundle(hashlib.sha256(raw).hexdigest(), manifest, members, is_signed)


def parse_manifest(text: bytes, name: str) -> Manifest:
    """Return the manifest, or say in one line each what is wrong with it.

    Raises:
        BundleError: it is not JSON, too large or breaks the format.
    """
    if len(text) > _MAX_MANIFEST_BYTES:
        raise BundleError(f"Bundle {name}: {MANIFEST} is larger than {_MAX_MANIFEST_BYTES} bytes.")
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()
        )
        raise BundleError(f"Bundle {name} refused: {MANIFEST} is wrong: {problems}") from error


def write_bundle(path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """Write a bundle; the same manifest and files always give the same bytes.

    Args:
        manifest: its `members` are filled in here.
        files: member name → bytes.

    Returns:
        The tar file's sha256.

    Raises:
        BundleError: a name is not allowed, or the manifest refers to a file that is not there.
    """
    for name in files:
        _check_name(name, path.name)
    members = {
        name: Member(sha256=hashlib.sha256(data).hexdigest(), length=len(data))
        for name, data in sorted(files.items(), key=lambda item: _order(item[0]))
    }
    complete = manifest.model_copy(update={"members": members})
    _check_references(complete, files, path.name)
    text = complete.model_dump_json(indent=1).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in [(MANIFEST, text), *((n, files[n]) for n in members)]:
            entry = tarfile.TarInfo(name)  # mtime, uid, gid: 0
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(buffer.getvalue())
    partial.replace(path)
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def _order(name: str) -> tuple[int, str]:
    """Graphs first, golden pictures next, the rest last."""
    return (0 if name.endswith(".onnx") else 1 if name.startswith("golden/") else 2), name


def _members(raw: bytes, name: str, limits: BundleLimits) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
            for entry in tar:
                _check_name(entry.name, name)
                if not entry.isreg():
                    raise BundleError(f"Bundle {name} refused: {entry.name} is not a plain file.")
                if entry.name in found:
                    raise BundleError(f"Bundle {name} refused: {entry.name} is in it twice.")
                if len(found) >= limits.max_members:
                    raise BundleError(
                        f"Bundle {name} refused: more than {limits.max_members} files."
                    )
                reader = tar.extractfile(entry)
                data = reader.read() if reader else b""
                if len(data) != entry.size:
                    raise BundleError(f"Bundle {name} is cut off inside {entry.name}.")
                found[entry.name] = data
    except (tarfile.TarError, EOFError) as error:
        raise BundleError(f"Bundle {name} is no readable tar file: {error}.") from error
    return found


def _check_name(member: str, name: str) -> None:
    if not _NAME.match(member):
        raise BundleError(f"Bundle {name} refused: member name {member!r} is not allowed.")


def _check_digests(manifest: Manifest, files: Mapping[str, bytes], name: str) -> None:
    missing = sorted(set(manifest.members) - set(files))
    extra = sorted(set(files) - set(manifest.members))
    changed = sorted(
        n
        for n, m in manifest.members.items()
        if n in files
        and (len(files[n]) != m.length or hashlib.sha256(files[n]).hexdigest() != m.sha256)
    )
    if missing or extra or changed:
        told = [
            f"{what}: {', '.join(names)}"
            for what, names in (("missing", missing), ("not listed", extra), ("changed", changed))
            if names
        ]
        raise BundleError(
            f"Bundle {name} refused: its files do not match its manifest ({'; '.join(told)}). "
            "Copy or build it again."
        )


def _check_references(manifest: Manifest, files: Mapping[str, bytes], name: str) -> None:
    wanted = [manifest.orientation.cue]
    if manifest.alignment is not None:
        wanted.append(manifest.alignment.template)
    for variant in manifest.variants:
        wanted += [variant.inspector, variant.detector, *(g.file for g in variant.golden)]
        if (variant.detector is None) != (manifest.detector is None):
            raise BundleError(
                f"Bundle {name} refused: variant {variant.precision} and the manifest disagree "
                "on whether there is a detector."
            )
    absent = sorted({w for w in wanted if w is not None and w not in files})
    if absent:
        raise BundleError(f"Bundle {name} refused: it lacks {', '.join(absent)}.")
