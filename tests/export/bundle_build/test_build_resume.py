"""A build with a detector in its path, stopped again and again."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.middle_detector import write_detector, write_parts

from edge_app.bundle.archive import read_bundle
from export.bundle_build.pipeline import BuildOptions, build

pytestmark = pytest.mark.needs("the extra train")

STEPS = (
    *("labels", "parts", "orientation", "upright crops", "inspector", "thresholds", "golden"),
    "bundle",
)


class Stopped(Exception):
    """The person pressed Ctrl-C."""


@pytest.mark.slow
def test_a_build_stopped_again_and_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Ctrl-C as each step begins, then on: the bundle is that of an undisturbed build."""
    data, detector = tmp_path / "data", tmp_path / "detector.onnx"
    write_parts(data / "train" / "good", 30)
    write_detector(detector)

    def options(name: str) -> BuildOptions:
        return BuildOptions(
            data=data, out=tmp_path / name, product="t", detector=str(detector), steps=2
        )

    build(options("whole.bundle"), lambda *_: None)
    for step in STEPS:

        def stop(name: str, _text: str, _share: float, step: str = step) -> None:
            if name == step:
                raise Stopped

        with pytest.raises(Stopped):
            build(options("stopped.bundle"), stop)
    build(options("stopped.bundle"), lambda *_: None)
    again = (tmp_path / "stopped.bundle").read_bytes()
    assert again == (tmp_path / "whole.bundle").read_bytes()
    assert read_bundle(tmp_path / "whole.bundle").manifest.alignment is not None
