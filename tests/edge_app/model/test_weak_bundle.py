"""A bundle that misses most clearly visible defects says so where people look."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from support.format_2 import ORIGIN, with_limits
from support.small_bundles import bright_files, bright_manifest, write_pictures

from edge_app.activation.slots import weaknesses_of
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.thresholds import Sensitivity, clear_recall, weakness
from edge_app.cli.main import main
from edge_app.model.loaded_model import load_model


def measured(large: float, small: float = 0.0) -> tuple[Sensitivity, ...]:
    """Return what was measured on two kinds; only large defects count as clearly visible."""
    return (
        Sensitivity(kind="stain", size="large", count=30, recall=large),
        Sensitivity(kind="crack", size="large", count=10, recall=large),
        Sensitivity(kind="stain", size="small", count=30, recall=small),
    )


def bundle_that_sees(path: Path, large: float) -> Path:
    """Write the brightness bundle with such a share of large synthetic defects caught."""
    origin = ORIGIN.model_copy(update={"sensitivity": measured(large)})
    changed = {"promise": "cross-fitted, measured", "origin": origin}
    write_bundle(path, with_limits(bright_manifest(), **changed), bright_files())
    return path


@pytest.mark.parametrize(("large", "is_weak"), [(0.49, True), (0.5, False), (1.0, False)])
def test_half_of_the_large_defects_is_the_line(large: float, is_weak: bool) -> None:
    assert clear_recall(measured(large)) == pytest.approx(large)
    assert (weakness(clear_recall(measured(large))) is not None) == is_weak


def test_what_nobody_has_measured_is_not_called_weak() -> None:
    """Bundles of release 0.1.0 and limits set from the line state no sensitivity."""
    assert clear_recall(()) is None
    assert weakness(None) is None


def test_inspect_warns_before_the_first_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, so that scripts that read verdicts go on."""
    pictures = write_pictures(tmp_path / "in", 2, {2})
    for large, is_said in ((0.3, True), (0.9, False)):
        bundle = bundle_that_sees(tmp_path / f"{large}.bundle", large)
        assert main(["inspect", str(pictures), "--bundle", str(bundle)]) == 0
        told = capsys.readouterr()
        assert ("warning: This bundle misses more than half" in told.err) == is_said
        assert len(told.out.splitlines()) == 2


def test_the_page_is_told_of_every_slot(tmp_path: Path) -> None:
    """Named where there are several; a slot without a model has no weakness."""
    weak = SimpleNamespace(model=load_model(read_bundle(bundle_that_sees(tmp_path / "a", 0.2))))
    fine = SimpleNamespace(model=load_model(read_bundle(bundle_that_sees(tmp_path / "b", 0.8))))
    (one,) = weaknesses_of({"main": weak})  # type: ignore[dict-item]
    assert one.startswith("This bundle misses")
    several = weaknesses_of({"left": fine, "right": weak, "third": None})  # type: ignore[dict-item]
    assert [text.split(":")[0] for text in several] == ["Slot right"]
