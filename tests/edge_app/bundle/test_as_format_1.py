"""What 0.1.0 can judge is kept, the rest is named or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.format_2 import EXAMPLES, ORIGIN, SUSPECT_THRESHOLD, station, with_limits
from support.small_bundles import bright_files, bright_manifest

from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.format_1 import as_format_1, at_most_format
from edge_app.bundle.manifest import FORMAT_1, Manifest, required_features, stamped
from edge_app.errors import DataError


def rich() -> Manifest:
    """Return the brightness product with everything that can be left out."""
    limits = with_limits(
        bright_manifest(),
        suspect_threshold=SUSPECT_THRESHOLD,
        promise="cross-fitted, measured",
        origin=ORIGIN,
    )
    return stamped(limits.model_copy(update={"station": station()}))


def test_everything_that_can_be_left_out_is_left_out_and_named(tmp_path: Path) -> None:
    """One sentence each; limits stay as they are; the file is format 1 and reads back."""
    plain, left_out = as_format_1(rich())
    assert plain == bright_manifest()
    assert left_out == (
        "format 1: the threshold stays, but its promise is stated as extrapolated, not guaranteed, "
        "and how it was found is left out",
        "format 1: a station without its product is NOT_INSPECTED instead of NG",
        "format 1: the suspect threshold is left out: no part is marked suspect",
    )
    write_bundle(tmp_path / "a.bundle", plain, bright_files())
    assert read_bundle(tmp_path / "a.bundle").manifest.format == FORMAT_1


@pytest.mark.parametrize("feature", EXAMPLES)
def test_every_feature_is_left_out_or_refused(feature: str) -> None:
    """None slips through: what would be judged otherwise without a word is no format 1."""
    manifest = EXAMPLES[feature]()
    if feature in ("fixed_region", "outline_whole"):
        with pytest.raises(DataError, match=r"--format 1: .* release 0\.1\.0 would .* Build it"):
            as_format_1(manifest)
        return
    plain, left_out = as_format_1(manifest)
    assert (required_features(plain), plain.format) == ((), FORMAT_1)
    assert len(left_out) == 1


def test_what_is_format_1_already_stays_as_it_is() -> None:
    """Nothing to leave out, nothing to say; without the wish a manifest is not touched."""
    assert as_format_1(bright_manifest()) == (bright_manifest(), ())
    assert at_most_format(1, rich()) == as_format_1(rich())
    assert at_most_format(2, rich()) == (rich(), ())
