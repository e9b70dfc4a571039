"""Eighty data sets as people bring them: each is taken right, or refused in words; never silently.

`CROPLIQ_LAYOUT_SEED=7 pytest tests/export/data/test_generated_layouts.py` draws others.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
from support.data_layouts import (
    Layout,
    Refused,
    damaged,
    kolektor,
    layouts,
    make,
    not_utf8,
    odd_files,
    roboflow_split,
    tiles,
)

from edge_app.bundle.archive import read_bundle
from edge_app.errors import EdgeError
from export.bundle_build.pipeline import label_pictures
from export.bundle_build.records import BuildOptions
from export.cli.main import main
from export.data.dataset import scan_good_pictures

pytestmark = pytest.mark.needs("the extra train")

SEED = int(os.environ.get("CROPLIQ_LAYOUT_SEED", "0"))
DRAWN = list(layouts(SEED))


@pytest.mark.parametrize(
    ("layout", "seed"), [d[1:] for d in DRAWN], ids=[f"{SEED}-{d[0]}" for d in DRAWN]
)
def test_a_folder_is_taken_right_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: Layout, seed: int
) -> None:
    """check-data says what a build would do; the build's own first steps do the same."""
    maker, outcome = make(layout, tmp_path / "data", seed)
    code = main(["check-data", str(maker.root), "--sheet", str(tmp_path / "sheet.png")])
    printed = capsys.readouterr()
    told = printed.out + printed.err
    assert "Traceback" not in told
    assert re.search(outcome.says, told), told
    options = BuildOptions(maker.root, tmp_path / "out" / "a.bundle", "part", detector="none")
    if isinstance(outcome, Refused):
        assert code == 1
        assert "build would refuse: " in printed.out
        with pytest.raises(EdgeError, match=outcome.says):
            label_pictures(options, lambda *_: None)
        assert not options.out.exists()
        return
    assert code == 0, told
    found = scan_good_pictures(maker.root)
    taken = {os.path.relpath(p.path, maker.root) for p in found.pictures}
    assert not taken & maker.other
    assert taken == maker.good
    trained = label_pictures(options, lambda *_: None).training
    assert {p.path for p in trained} == {p.path for p in found.pictures}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("layout", [not_utf8, odd_files, kolektor, tiles, damaged, roboflow_split])
def test_a_handful_is_trained_on_its_good_parts_alone(tmp_path: Path, layout: Layout) -> None:
    """The whole command: exit 0, and the bundle's training pictures are the good ones."""
    maker, _ = make(layout, tmp_path / "data", SEED)
    bundle = tmp_path / "a.bundle"
    options = ["--product", "part", "--detector", "none", "--method", "padim-slim", "--accept-weak"]
    assert main(["build", "--data", str(maker.root), "--out", str(bundle), *options]) == 0
    provenance = read_bundle(bundle).manifest.provenance
    seen = {*provenance.training_sha256, *provenance.calibration_sha256}
    digests = {hashlib.sha256((maker.root / n).read_bytes()).hexdigest() for n in maker.good}
    assert seen == digests
