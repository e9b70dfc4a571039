"""Consistency rules for a bundle's members. Pure: names, digests and bytes only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import from_json

from edge_app import __version__
from edge_app.bundle.manifest import FEATURES, FORMAT_1, FORMATS, Manifest, Member, Variant
from edge_app.bundle.ustar import MAX_NAME
from edge_app.errors import BundleError

MANIFEST = "manifest.json"
SIGNATURE = "bundle.sig"
GRAPH_SUFFIX = ".onnx"

MAX_MANIFEST_BYTES = 8 * 1024 * 1024
MAX_SIGNATURE_BYTES = 256 * 1024
"""200 members with the longest names make a signature of 60 kB."""

_NAME = re.compile(r"(golden/)?[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """Limits on what a device reads: from its own configuration, never from the bundle."""

    max_bytes: int = 512 * 1024 * 1024
    max_members: int = 200


def check_name(member: str, label: str) -> None:
    """Return if a member name is allowed: a plain name, in no folder but `golden`.

    Raises:
        BundleError: it may not.
    """
    if len(member) > MAX_NAME or not _NAME.fullmatch(member):
        raise BundleError(f"Bundle {label} refused: member name {member!r} is not allowed.")


def check_digests(
    expected: Mapping[str, str], seen: Mapping[str, Member], label: str, by: str
) -> None:
    """Return if exactly the expected members are there, unchanged.

    Args:
        expected: member name → sha256.
        by: who expects them, e.g. "its manifest".

    Raises:
        BundleError: it names every missing, unlisted and changed member.
    """
    missing = sorted(set(expected) - set(seen))
    extra = sorted(set(seen) - set(expected))
    changed = sorted(n for n, m in seen.items() if n in expected and m.sha256 != expected[n])
    problems = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("not listed", extra), ("changed", changed))
        if names
    ]
    if problems:
        raise BundleError(
            f"Bundle {label} refused: its files do not match {by} ({'; '.join(problems)}). "
            "Copy or build it again."
        )


def check_against_manifest(manifest: Manifest, seen: Mapping[str, Member], label: str) -> None:
    """Return if the members are those the manifest lists, and hold all that it refers to.

    Raises:
        BundleError: they are not.
    """
    listed = {name: member.sha256 for name, member in manifest.members.items()}
    check_digests(listed, seen, label, "its manifest")
    wrong = sorted(n for n, m in manifest.members.items() if m.length != seen[n].length)
    if wrong:
        raise BundleError(
            f"Bundle {label} refused: the manifest has other lengths for {', '.join(wrong)}."
        )
    check_references(manifest, seen, label)


def check_references(manifest: Manifest, names: Iterable[str], label: str) -> None:
    """Return if every file that the manifest refers to is among `names`.

    Raises:
        BundleError: one is missing, a graph is not an `.onnx` file, or manifest and variant
        disagree
            about the detector or the classifier.
    """
    wanted = [manifest.orientation.cue]
    if manifest.alignment is not None:
        wanted.append(manifest.alignment.template)
    for variant in manifest.variants:
        named = (variant.inspector, variant.detector, variant.classifier)
        graphs = [g for g in named if g is not None]
        wanted += [*graphs, *(g.file for g in variant.golden)]
        if variant.golden_regions is not None:
            wanted.append(variant.golden_regions.file)
        _check_agreement(manifest, variant, label)
        odd = [g for g in graphs if not g.endswith(GRAPH_SUFFIX)]
        if odd:
            raise BundleError(f"Bundle {label} refused: the graph {odd[0]} is not an .onnx file.")
    absent = sorted({w for w in wanted if w is not None} - set(names))
    if absent:
        raise BundleError(f"Bundle {label} refused: it lacks {', '.join(absent)}.")


def _check_agreement(manifest: Manifest, variant: Variant, label: str) -> None:
    for graph, said, has in (
        ("detector", manifest.detector, variant.detector),
        ("classifier", manifest.classifier, variant.classifier),
    ):
        if (said is None) != (has is None):
            raise BundleError(
                f"Bundle {label} refused: variant {variant.precision} and the manifest disagree "
                f"on whether there is a {graph}."
            )


def parse_manifest(text: bytes, label: str) -> Manifest:
    """Return the manifest.

    Raises:
        BundleError: it is not JSON, too large, of a later release or breaks the format.
    """
    if len(text) > MAX_MANIFEST_BYTES:
        raise BundleError(f"Bundle {label}: {MANIFEST} is larger than {MAX_MANIFEST_BYTES} bytes.")
    _check_known(text, label)
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()
        )
        raise BundleError(f"Bundle {label} refused: {MANIFEST} is wrong: {problems}") from error
    if manifest.format != FORMAT_1 and "format" not in manifest.model_fields_set:
        raise BundleError(f"Bundle {label} refused: {MANIFEST} is wrong: format: is missing")
    return manifest


def _check_known(text: bytes, label: str) -> None:
    """Return if this release knows the format and every feature that the manifest names.

    What a later release wrote has keys that this one cannot explain, so this comes before them.
    """
    try:
        content = from_json(text)
    except ValueError:
        return  # the schema's own message says where
    if not isinstance(content, dict):
        return
    needs = content.get("requires", [])
    named = needs if isinstance(needs, list) else [needs]
    said = content.get("format", FORMAT_1)
    unknown = [] if said in FORMATS else [said]
    unknown += [feature for feature in named if feature not in FEATURES]
    if unknown:
        words = " and ".join(f"{str(u)[:64]!r}" for u in unknown[:3])
        raise BundleError(
            f"Bundle {label} refused: it needs {words}, which this release ({__version__}) does "
            "not know: update the device first, or build it with --format 1."
        )
