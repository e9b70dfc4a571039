"""A bundle is read only if every byte in it is accounted for."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.small_bundles import bright_files, bright_manifest, write_bright_bundle

from edge_app.bundle.archive import BundleLimits, read_bundle, write_bundle
from edge_app.bundle.manifest import Normalisation, normalise
from edge_app.errors import BundleError

Entries = list[tuple[tarfile.TarInfo, bytes]]


def rewrite(path: Path, change: Callable[[Entries], Entries]) -> None:
    """Change a tar file's entries in place."""
    with tarfile.open(path) as tar:
        entries = [(e, (tar.extractfile(e) or io.BytesIO()).read()) for e in tar]
    with tarfile.open(path, "w") as tar:
        for entry, data in change(entries):
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def edit_manifest(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Change manifest.json in place, leaving every other byte alone."""

    def edit(entries: Entries) -> Entries:
        manifest = json.loads(entries[0][1])
        change(manifest)
        return [(entries[0][0], json.dumps(manifest).encode()), *entries[1:]]

    rewrite(path, edit)


def named(entries: Entries, name: str) -> tarfile.TarInfo:
    return next(e for e, _ in entries if e.name == name)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A written bundle comes back with the same files and manifest."""
    bundle = read_bundle(write_bright_bundle(tmp_path / "a.bundle"))
    assert bundle.files == bright_files()
    assert bundle.manifest.product == "bright"
    assert bundle.manifest.members["inspector.onnx"].length == len(bright_files()["inspector.onnx"])
    assert not bundle.is_signed


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    """Writing twice gives equal files: no time, owner or order slips in."""
    first = write_bright_bundle(tmp_path / "a.bundle").read_bytes()
    files = dict(reversed(list({**bright_files(), "report.html": b"x"}.items())))
    write_bundle(tmp_path / "b.bundle", bright_manifest(), files)
    write_bundle(tmp_path / "c.bundle", bright_manifest(), {**bright_files(), "report.html": b"x"})
    assert write_bright_bundle(tmp_path / "d.bundle").read_bytes() == first
    assert (tmp_path / "b.bundle").read_bytes() == (tmp_path / "c.bundle").read_bytes()


@pytest.mark.parametrize(
    ("what", "change", "told"),
    [
        ("a flipped byte", lambda es: [es[0], (es[1][0], b"X" + es[1][1][1:])], "changed: insp"),
        ("a missing file", lambda es: es[:1], "missing: inspector.onnx"),
        (
            "an extra file",
            lambda es: [*es, (tarfile.TarInfo("extra.bin"), b"x")],
            "not listed: extra.bin",
        ),
        ("a file twice", lambda es: [*es, es[1]], "is in it twice"),
        ("no manifest", lambda es: es[1:], "no manifest.json"),
        (
            "a path that climbs out",
            lambda es: [*es, (tarfile.TarInfo("../evil"), b"x")],
            "not allowed",
        ),
        (
            "an absolute path",
            lambda es: [*es, (tarfile.TarInfo("/etc/evil"), b"x")],
            "not allowed",
        ),
    ],
)
def test_an_altered_bundle_is_refused(
    tmp_path: Path, what: str, change: Callable[[Entries], Entries], told: str
) -> None:
    """Every kind of alteration is refused with a message that names the file."""
    path = write_bright_bundle(tmp_path / "a.bundle")
    rewrite(path, change)
    with pytest.raises(BundleError, match=told):
        read_bundle(path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    """A symbolic link inside the tar is not followed but refused."""
    path = write_bright_bundle(tmp_path / "a.bundle")
    link = tarfile.TarInfo("link.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    rewrite(path, lambda es: [*es, (link, b"")])
    with pytest.raises(BundleError, match=r"link\.bin is not a plain file"):
        read_bundle(path)


def test_a_cut_off_bundle_is_refused(tmp_path: Path) -> None:
    """A copy that ended early is refused, wherever it ended."""
    path = write_bright_bundle(tmp_path / "a.bundle")
    whole = path.read_bytes()
    for length in (0, 100, 600, 1500):
        path.write_bytes(whole[:length])
        with pytest.raises(BundleError):
            read_bundle(path)


def test_no_file_at_all(tmp_path: Path) -> None:
    """A path that is not there is an error that names it."""
    with pytest.raises(BundleError, match=r"nowhere\.bundle cannot be read"):
        read_bundle(tmp_path / "nowhere.bundle")


def test_the_devices_limit_counts(tmp_path: Path) -> None:
    """A bundle larger than the device allows is refused before it is parsed."""
    path = write_bright_bundle(tmp_path / "a.bundle")
    with pytest.raises(BundleError, match="more than the 100 this device allows"):
        read_bundle(path, BundleLimits(max_bytes=100))


def test_an_uncalibrated_bundle_is_refused(tmp_path: Path) -> None:
    """Thresholds without the scores they rest on are no calibration."""
    path = write_bright_bundle(tmp_path / "a.bundle")

    def uncalibrate(manifest: dict[str, object]) -> None:
        manifest["variants"][0]["thresholds"]["calibration_scores"] = []  # type: ignore[index]

    edit_manifest(path, uncalibrate)
    with pytest.raises(BundleError, match="an uncalibrated bundle is refused"):
        read_bundle(path)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    """A manifest of another format version is not guessed at."""
    path = write_bright_bundle(tmp_path / "a.bundle")
    edit_manifest(path, lambda m: m.update(format="cropliq-bundle/9"))
    with pytest.raises(BundleError, match="'cropliq-bundle/9', which this release"):
        read_bundle(path)


def test_a_reference_to_nothing_is_refused(tmp_path: Path) -> None:
    """A manifest that names a graph the bundle does not hold cannot be written."""
    with pytest.raises(BundleError, match=r"lacks inspector\.onnx"):
        write_bundle(tmp_path / "a.bundle", bright_manifest(), {"report.html": b"x"})


def test_an_unknown_variant_names_those_there_are(tmp_path: Path) -> None:
    """Asking for a precision that is not in the bundle lists what is."""
    bundle = read_bundle(write_bright_bundle(tmp_path / "a.bundle"))
    with pytest.raises(BundleError, match="no int8 variant, only fp32"):
        bundle.variant("int8")


def test_normalisation_is_monotone_and_clipped() -> None:
    """The grid's 0..1 axis keeps order and never leaves 0..1."""
    scale = Normalisation(low=10.0, high=20.0)
    assert [normalise(s, scale) for s in (5.0, 10.0, 15.0, 20.0, 99.0)] == [0, 0, 0.5, 1, 1]
