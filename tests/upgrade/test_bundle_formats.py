"""Bundles between release 0.1.0 and today's code, both ways."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support.format_2 import EXAMPLES
from support.needs import ROOT
from support.release_0_1_0 import run_on_release, unpack_release
from support.small_bundles import bright_files, write_bright_bundle

from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.manifest import FORMAT_1

pytestmark = pytest.mark.needs("the repository's history")

SAYS = """
import sys
from pathlib import Path
from edge_app.bundle import read_bundle
from edge_app.errors import BundleError
for name in sys.argv[1:]:
    try:
        print(read_bundle(Path(name)).manifest.product)
    except BundleError as error:
        print(error)
"""
WRITES = """
import sys
from pathlib import Path
from edge_app.bundle import read_bundle, write_bundle
bundle = read_bundle(Path(sys.argv[1]))
write_bundle(Path(sys.argv[2]), bundle.manifest, bundle.files)
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of 0.1.0, unpacked."""
    return unpack_release(tmp_path_factory.mktemp("release"))


def test_the_release_reads_format_1_and_refuses_format_2(release: Path, tmp_path: Path) -> None:
    """What needs nothing new is read; every feature is refused, and the format is named first."""
    files = [write_bright_bundle(tmp_path / "plain.bundle")]
    for feature, example in EXAMPLES.items():
        files.append(tmp_path / f"{feature}.bundle")
        write_bundle(files[-1], example(), bright_files())
    plain, *refused = run_on_release(release, SAYS, *map(str, files)).splitlines()
    assert plain == "bright"
    assert len(refused) == len(EXAMPLES)
    for file, words in zip(files[1:], refused, strict=True):
        assert words.startswith(
            f"Bundle {file.name} refused: manifest.json is wrong: "
            "format: Input should be 'cropliq-bundle/1'; "
        )
        assert "requires: Extra inputs are not permitted" in words


def shipped() -> list[Path]:
    """Return the bundles in the repository that are of format 1."""
    found = [*(ROOT / "edge_app/assets").glob("*.bundle"), *(ROOT / "tests").rglob("*-1.bundle")]
    return [path for path in found if read_bundle(path).manifest.format == FORMAT_1]


def test_both_write_the_same_bytes(release: Path, tmp_path: Path) -> None:
    """Read and written again by either code, a bundle of format 1 is one file."""
    assert shipped()
    for path in shipped():
        run_on_release(release, WRITES, str(path), str(tmp_path / "theirs.bundle"))
        bundle = read_bundle(path)
        ours = write_bundle(tmp_path / "ours.bundle", bundle.manifest, bundle.files)
        theirs = (tmp_path / "theirs.bundle").read_bytes()
        assert ours == hashlib.sha256(theirs).hexdigest(), path.name
