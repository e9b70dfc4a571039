"""`build --format 1` writes what 0.1.0 can judge and says what is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from support.format_2 import EXAMPLES, with_limits

from edge_app.bundle.archive import read_bundle
from edge_app.bundle.manifest import FORMAT_1, FORMAT_2, Manifest, stamped
from edge_app.errors import DataError
from export.bundle_build import pipeline
from export.bundle_build.manifest import manifest_of
from export.bundle_build.pipeline import BuildOptions, build
from export.cli.main import _options, _parser


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> BuildOptions:
    """A few grey pictures that one build can share with the next."""
    folder = tmp_path_factory.mktemp("greys")
    (folder / "in" / "good").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(24):
        pixels = rng.normal(120, 12, (48, 96, 3)).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "in" / "good" / f"{i:03d}.png"), pixels)
    out = folder / "greys.bundle"
    return BuildOptions(
        folder / "in", out, "greys", detector="none", method="patchcore", false_alarm_rate=0.05
    )


def build_with(
    monkeypatch: pytest.MonkeyPatch, options: BuildOptions, feature: str
) -> tuple[Manifest, tuple[str, ...]]:
    """Build a product that uses a feature; return the manifest in the file and the warnings."""
    plain = manifest_of

    def with_feature(*arguments: Any) -> Manifest:
        manifest = plain(*arguments)
        if feature == "suspect_limit":
            limit = manifest.variants[0].thresholds.score_threshold
            return with_limits(manifest, suspect_threshold=limit - 1)
        return stamped(manifest.model_copy(update={"region": EXAMPLES[feature]().region}))

    monkeypatch.setattr(pipeline, "manifest_of", with_feature)
    result = build(options, lambda *_: None)
    return read_bundle(options.out).manifest, result.warnings


@pytest.mark.slow
def test_what_is_left_out_is_among_the_warnings(
    options: BuildOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --format 1 the file is format 1; without it the product gets what it needs."""
    said = "format 1: the suspect threshold is left out: no part is marked suspect"
    manifest, warnings = build_with(monkeypatch, options, "suspect_limit")
    assert (manifest.format, manifest.requires) == (
        FORMAT_2,
        ("cross_fitted_limits", "suspect_limit"),
    )
    assert said not in warnings
    monkeypatch.undo()
    manifest, warnings = build_with(monkeypatch, replace(options, format=1), "suspect_limit")
    assert (manifest.format, manifest.variants[0].thresholds.suspect_threshold) == (FORMAT_1, None)
    assert said in warnings


@pytest.mark.slow
def test_what_0_1_0_would_judge_otherwise_is_not_built(
    options: BuildOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file that judges the whole frame in place of a region."""
    out = options.out.with_name("region.bundle")
    with pytest.raises(DataError, match="--format 1: the product fills a fixed region"):
        build_with(monkeypatch, replace(options, format=1, out=out), "fixed_region")
    assert not out.exists()


def test_the_option_reaches_the_build() -> None:
    """Two unless said otherwise; there is no third."""
    words = ["build", "--data", "x", "--out", "y"]
    assert _options(_parser().parse_args(words)).format == 2
    assert _options(_parser().parse_args([*words, "--format", "1"])).format == 1
    with pytest.raises(SystemExit):
        _parser().parse_args([*words, "--format", "3"])
