"""Format 2: named features, format 1 untouched where none is used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.format_2 import EXAMPLES, ORIGIN, with_limits
from support.small_bundles import bright_files, bright_manifest

from edge_app import __version__
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.contents import parse_manifest
from edge_app.bundle.manifest import (
    FEATURES,
    FORMAT_1,
    FORMAT_2,
    Manifest,
    RegionOfFrame,
    required_features,
    stamped,
)
from edge_app.bundle.thresholds import LimitOrigin, Thresholds
from edge_app.errors import BundleError

BY_0_1_0 = Path(__file__).parents[2] / "fixtures" / "release_0_1_0" / "bundles"


def edited(manifest: Manifest, edit: Callable[[dict[str, object]], object]) -> bytes:
    """Return the manifest's JSON after an edit."""
    content = json.loads(manifest.model_dump_json())
    edit(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize("name", ["alpha-1", "alpha-2", "beta-1"])
def test_what_0_1_0_wrote_is_written_again_with_the_same_bytes(name: str, tmp_path: Path) -> None:
    """What needs nothing new is format 1, to the last byte."""
    theirs = read_bundle(BY_0_1_0 / f"{name}.bundle")
    write_bundle(tmp_path / "again.bundle", theirs.manifest, theirs.files)
    again = (tmp_path / "again.bundle").read_bytes()
    assert (BY_0_1_0 / f"{name}.bundle").read_bytes().endswith(again)  # theirs is signed in front


def test_format_1_has_no_new_key() -> None:
    """A value that means "not used" is left out, not written as null."""
    text = bright_manifest().model_dump_json()
    for key in ("requires", "station", "region", "whole", "suspect_threshold", "origin"):
        assert f'"{key}"' not in text
    assert bright_manifest().format == FORMAT_1


def test_every_feature_has_an_example() -> None:
    """None is left untested below."""
    assert tuple(EXAMPLES) == FEATURES == tuple(sorted(FEATURES))


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_is_named_and_survives_the_file(feature: str, tmp_path: Path) -> None:
    """Content decides: the bundle is format 2, requires just that, and reads back equal."""
    manifest = EXAMPLES[feature]()
    assert required_features(manifest) == (feature,)
    write_bundle(tmp_path / "a.bundle", manifest, bright_files())
    found = read_bundle(tmp_path / "a.bundle").manifest
    assert (found.format, found.requires) == (FORMAT_2, (feature,))
    assert found.model_copy(update={"members": {}}) == manifest


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_that_is_not_named_is_refused(feature: str) -> None:
    """Not as format 1, not with an empty list, not with the wrong name, not without a format."""
    other = FEATURES[FEATURES.index(feature) - 1]
    for edit in (
        lambda m: m.update(format=FORMAT_1),
        lambda m: (m.update(format=FORMAT_1), m.pop("requires")),
        lambda m: m.update(requires=[]),
        lambda m: m.update(requires=[other]),
        lambda m: m.update(requires=[feature, feature]),
        lambda m: m.pop("requires"),
        lambda m: m.pop("format"),
        lambda m: (m.pop("format"), m.pop("requires")),
    ):
        with pytest.raises(BundleError, match=f"{feature}|format: is missing"):
            parse_manifest(edited(EXAMPLES[feature](), edit), "a")


def test_a_feature_that_is_not_used_is_refused() -> None:
    """A list that claims more than the content shows hides something."""
    named = edited(
        bright_manifest(), lambda m: m.update(format=FORMAT_2, requires=["fixed_region"])
    )
    with pytest.raises(BundleError, match=r"its content needs cropliq-bundle/1 with requires \[\]"):
        parse_manifest(named, "a")


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (lambda m: m.update(requires=["fixed_region", "x_ray"], rays={"kv": 40}), "x_ray"),
        (lambda m: m.update(format="cropliq-bundle/3", rays={"kv": 40}), "cropliq-bundle/3"),
        (lambda m: m.update(requires="x_ray"), "x_ray"),
        (lambda m: m.update(requires=[{"a": 1}]), "{'a': 1}"),
        (lambda m: m.update(format=["x"]), r"\['x'\]"),
    ],
)
def test_what_a_later_release_wrote_is_refused_in_one_sentence(
    edit: Callable[[dict[str, object]], object], word: str
) -> None:
    """The unknown is named with what to do; its unknown keys are not listed."""
    with pytest.raises(BundleError, match=word) as refused:
        parse_manifest(edited(EXAMPLES["fixed_region"](), edit), "a.bundle")
    assert f"this release ({__version__}) does not know: update the device" in str(refused.value)
    assert "rays" not in str(refused.value)


def test_a_copy_is_stamped_when_it_is_written(tmp_path: Path) -> None:
    """`model_copy` keeps the old format; the file says what its content needs, both ways."""
    region = RegionOfFrame(x=0, y=0, w=0.5, h=1)
    grown = bright_manifest().model_copy(update={"region": region})
    write_bundle(tmp_path / "grown.bundle", grown, bright_files())
    assert read_bundle(tmp_path / "grown.bundle").manifest.requires == ("fixed_region",)
    shrunk = stamped(grown).model_copy(update={"region": None})
    write_bundle(tmp_path / "shrunk.bundle", shrunk, bright_files())
    assert read_bundle(tmp_path / "shrunk.bundle").manifest == read_bundle_of(tmp_path)


def read_bundle_of(folder: Path) -> Manifest:
    """Return the brightness product as written without a detour."""
    write_bundle(folder / "plain.bundle", bright_manifest(), bright_files())
    return read_bundle(folder / "plain.bundle").manifest


def test_limits_that_contradict_each_other_are_refused() -> None:
    """A suspect limit above the limit, and a promise without its origin or the other way round."""
    with pytest.raises(ValidationError, match="is above score_threshold"):
        with_limits(bright_manifest(), suspect_threshold=151.0)
    with_limits(bright_manifest(), suspect_threshold=150.0)
    with pytest.raises(ValidationError, match="origin disagree"):
        with_limits(bright_manifest(), promise="cross-fitted, measured")
    with pytest.raises(ValidationError, match="origin disagree"):
        with_limits(bright_manifest(), origin=ORIGIN)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"rank": 100, "expected_rate": 1.0 - 1e-9}, "have no 100-th score"),
        ({"groups": 100}, "in 100 groups"),
        ({"expected_rate": 0.03}, "expected rank"),
        ({"folds": 1}, "folds"),
    ],
)
def test_an_impossible_origin_is_refused(changed: dict[str, object], why: str) -> None:
    """The figures have to fit each other."""
    with pytest.raises(ValidationError, match=why):
        LimitOrigin.model_validate({**dict(ORIGIN), **changed})


def test_a_region_lies_in_the_frame_and_replaces_the_detector() -> None:
    """It is never cut and never beside a detector."""
    with pytest.raises(ValidationError, match="must lie in the frame"):
        RegionOfFrame(x=0.6, y=0, w=0.5, h=1)
    content = json.loads(EXAMPLES["fixed_region"]().model_dump_json())
    content["detector"] = {"input_hw": [64, 64]}
    with pytest.raises(ValidationError, match="finds the product itself"):
        Manifest.model_validate_json(json.dumps(content))


def test_a_station_range_is_low_then_high() -> None:
    """Swapped ends would call every picture unsound."""
    content = json.loads(EXAMPLES["missing_product"]().model_dump_json())
    content["station"]["grey_mean"] = [120, 80]
    with pytest.raises(BundleError, match="grey_mean"):
        parse_manifest(json.dumps(content).encode(), "a")


def test_thresholds_of_format_1_are_as_they_were() -> None:
    """Their keys, in their order."""
    assert list(json.loads(bright_manifest().variants[0].thresholds.model_dump_json())) == [
        *("score_threshold", "map_threshold", "threshold_id", "normalisation"),
        *("false_alarm_rate", "calibration_scores", "defects_from", "promise"),
        "softmax_threshold",
    ]
    assert set(Thresholds.SINCE_2) == {"suspect_threshold", "origin"}
