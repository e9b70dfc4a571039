"""What each method's limit rests on: all good parts by folds, or a quarter held back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.tile_pictures import write_tiles

from edge_app.bundle.archive import read_bundle
from edge_app.errors import DataError
from export.bundle_build.pipeline import BuildOptions, build, label_pictures
from export.methods.names import AUTO, NAMES
from export.methods.registry import method_of

pytestmark = pytest.mark.needs("the extra train")

COUNT = 24


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> BuildOptions:
    folder = tmp_path_factory.mktemp("promises")
    data = write_tiles(folder / "tiles", good=COUNT, test_good=1, blotted=1)
    return BuildOptions(data, folder / "t.bundle", "tiles", detector="none", steps=1)


@pytest.mark.parametrize("method", [*NAMES, AUTO])
def test_good_parts_are_held_back_for_methods_without_folds_only(
    method: str, options: BuildOptions
) -> None:
    """A quarter that trains nothing, or none; together always all pictures."""
    done = label_pictures(replace(options, method=method), lambda *_: None)
    has_folds = method == AUTO or method_of(method).traits.cross_fits != "no"
    assert (len(done.hold_out) == 0) == has_folds
    assert len(done.training) + len(done.hold_out) == COUNT
    assert not {p.sha256 for p in done.training} & {p.sha256 for p in done.hold_out}


@pytest.mark.slow
@pytest.mark.parametrize("method", NAMES)
def test_a_bundle_says_what_its_limit_rests_on(
    method: str, options: BuildOptions, tmp_path: Path
) -> None:
    """Cross-fitted over every good part, or from those held back; never one called the other."""
    own = replace(options, method=method, out=tmp_path / "t.bundle")
    told = ""
    try:
        build(own, lambda *_: None)
    except DataError as error:
        told = str(error)
    if told:  # one step teaches some methods nothing
        assert "hardly tells" in told
        assert method_of(method).traits.takes_steps
        return
    bundle = read_bundle(own.out)
    limits, provenance = bundle.variant().thresholds, bundle.manifest.provenance
    if method_of(method).traits.cross_fits == "no":
        assert limits.promise in ("guaranteed", "extrapolated, not guaranteed")
        assert limits.origin is None
        assert len(limits.calibration_scores) == COUNT // 4
        assert not set(provenance.training_sha256) & set(provenance.calibration_sha256)
    else:
        assert limits.promise == "cross-fitted, measured"
        assert limits.origin is not None
        assert limits.origin.good_parts == len(limits.calibration_scores) == COUNT
        assert len(provenance.training_sha256) == COUNT
