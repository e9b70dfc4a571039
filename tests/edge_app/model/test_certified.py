"""The next safer variant: what fails on the device never judges."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cv2 import imencode
from support.small_bundles import bright_files, bright_manifest, grey_picture

from edge_app.backends import choice, tensorrt_library
from edge_app.backends.choice import BackendChoice, BackendName, GraphOpener
from edge_app.backends.cuda_driver import Gpu
from edge_app.backends.onnx import OnnxRunner
from edge_app.backends.protocol import AnyArray, GraphInfo, GraphRunner
from edge_app.bundle.archive import Bundle, read_bundle, write_bundle
from edge_app.bundle.manifest import GoldenPart, GoldenPicture
from edge_app.errors import BundleError, ModelError
from edge_app.imaging.upright_crop import whole_frame_box
from edge_app.model.variant_selection import ParityCertificate, load_safest, write_certificate

ORT = GraphOpener(BackendChoice())


def _bundle(tmp_path: Path, *precisions: str) -> Bundle:
    """Return a bundle with one golden picture and the named variants, preferred first."""
    part = GoldenPart(box_cxcywhr=whole_frame_box((64, 128)), score=250.0, verdict="NG")
    base = bright_manifest()
    variants = tuple(
        base.variants[0].model_copy(
            update={
                "precision": precision,
                "golden": (GoldenPicture(file="golden/bad.png", parts=(part,)),),
            }
        )
        for precision in precisions
    )
    picture = imencode(".png", grey_picture(spot=True))[1].tobytes()
    files = {**bright_files(), "golden/bad.png": picture}
    write_bundle(tmp_path / "a.bundle", base.model_copy(update={"variants": variants}), files)
    return read_bundle(tmp_path / "a.bundle")


class _Dimmed:
    """An engine that computes scores too low, as a bad int8 engine may; everything else is real."""

    def __init__(self, model: bytes, factor: float) -> None:
        self._runner, self._factor = OnnxRunner(model, 1), factor

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        outputs = self._runner.run(inputs)
        return {**outputs, "score": outputs["score"] * np.float32(self._factor)}

    def describe(self) -> GraphInfo:
        return replace(self._runner.describe(), provider="a device's engine")

    def close(self) -> None:
        self._runner.close()


class _Engines(GraphOpener):
    """Opens graphs with engines that scale scores by a factor per precision."""

    def __init__(self, backend: BackendName = "tensorrt", **factors: float) -> None:
        super().__init__(BackendChoice(backend))
        self._factors = factors

    def _open(self, model: bytes, name: str, precision: str) -> GraphRunner:
        if self._choice.backend == "onnxruntime":
            return super()._open(model, name, precision)
        if precision not in self._factors:
            raise ModelError(f"no engine for {precision}")
        return _Dimmed(model, self._factors[precision])


def test_reference_needs_no_certificate(tmp_path: Path) -> None:
    """The fp32 graphs on ONNX Runtime are what the golden set was made with."""
    found = load_safest(_bundle(tmp_path, "fp32"), ORT)
    assert found.certificates == ()
    assert found.model.identity.precision == "fp32"


def test_preferred_variant_that_passes_is_taken(tmp_path: Path) -> None:
    """An int8 engine within the tolerances is certified and used."""
    kept: list[ParityCertificate] = []
    bundle = _bundle(tmp_path, "int8", "fp32")
    found = load_safest(bundle, _Engines(int8=1.01, fp32=1.0), keep=kept.append)
    assert found.model.identity.precision == "int8"
    assert kept == list(found.certificates)
    (certificate,) = kept
    assert certificate.is_passed
    assert certificate.worst_score_difference == pytest.approx(0.01, abs=1e-4)
    assert certificate.worst_iou == 1.0
    assert certificate.providers == {"inspector": "a device's engine"}
    assert certificate.latency_ms is not None


def test_failing_variant_gives_way_to_the_next_safer(tmp_path: Path) -> None:
    """int8 flips the golden picture, fp16 is 5 % off, fp32 fits: fp32 judges."""
    bundle = _bundle(tmp_path, "int8", "fp32", "fp16")
    found = load_safest(bundle, _Engines(int8=0.5, fp16=1.05, fp32=1.0))
    assert found.model.identity.precision == "fp32"
    assert [(c.precision, c.is_passed) for c in found.certificates] == [
        ("int8", False), ("fp16", False), ("fp32", True),
    ]  # fmt: skip
    assert "the verdict is OK" in found.certificates[0].reason


def test_what_was_passed_over_is_told(tmp_path: Path) -> None:
    """The model in use says which variants failed before it and why; one as wanted says nothing."""
    bundle = _bundle(tmp_path, "int8", "fp16", "fp32")
    shortfall = load_safest(bundle, _Engines(int8=0.5, fp32=1.0)).model.shortfall
    assert "the int8 variant fails its golden set: golden/bad.png" in shortfall
    assert "the fp16 variant cannot be loaded: no engine for fp16" in shortfall
    assert load_safest(bundle, _Engines(int8=1.0)).model.shortfall == ""
    assert load_safest(bundle, _Engines(fp32=1.0), "fp32").model.shortfall == ""


def test_a_safer_choice_is_never_made_less_safe(tmp_path: Path) -> None:
    """Asked for fp16, a failing fp16 falls back on fp32, never on int8."""
    bundle = _bundle(tmp_path, "int8", "fp16", "fp32")
    found = load_safest(bundle, _Engines(int8=1.0, fp16=0.5, fp32=1.0), "fp16")
    assert found.model.identity.precision == "fp32"


def test_graph_that_cannot_be_opened_gives_way_too(tmp_path: Path) -> None:
    """An engine that cannot even be loaded is no reason to stand still while fp32 works."""
    bundle = _bundle(tmp_path, "int8", "fp32")
    assert load_safest(bundle, _Engines(fp32=1.0)).model.identity.precision == "fp32"


def test_nothing_that_passes_is_an_error(tmp_path: Path) -> None:
    """When every variant fails the bundle is refused with each one's reason."""
    with pytest.raises(BundleError, match=r"int8: golden/bad.png.*fp32: golden/bad.png"):
        load_safest(_bundle(tmp_path, "int8", "fp32"), _Engines(int8=0.1, fp32=0.1))


def test_certificate_is_written_whole(tmp_path: Path) -> None:
    """The file names bundle and precision and holds every figure."""
    bundle = _bundle(tmp_path, "fp16", "fp32")
    (certificate,) = load_safest(bundle, _Engines(fp16=1.0)).certificates
    file = write_certificate(certificate, tmp_path / "parity")
    assert file.name == f"{bundle.sha256[:16]}-fp16.json"
    content = json.loads(file.read_text())
    assert content["bundle_sha256"] == bundle.sha256
    assert content["reason"] == ""
    assert content["pictures"] == 1


def test_engines_that_fail_give_way_to_onnx_runtime_under_auto(tmp_path: Path) -> None:
    """A GPU whose fp32 engine flips a golden picture does not stop the line: the reference judges,
    and the model says what failed."""
    kept: list[ParityCertificate] = []
    opener = _Engines("auto", fp16=0.5, fp32=0.5)
    found = load_safest(_bundle(tmp_path, "fp16", "fp32"), opener, keep=kept.append)
    assert found.model.identity.precision == "fp32"
    assert opener.providers == {"inspector": "CPUExecutionProvider"}
    assert [(c.precision, c.is_passed) for c in kept] == [("fp16", False), ("fp32", False)]
    assert "the fp32 variant fails its golden set: golden/bad.png" in found.model.shortfall


def test_engines_that_fail_are_refused_where_tensorrt_is_demanded(tmp_path: Path) -> None:
    """backend = "tensorrt" is not served by anything else."""
    with pytest.raises(BundleError, match=r'runtime\.backend = "onnxruntime"'):
        load_safest(_bundle(tmp_path, "fp32"), _Engines("tensorrt", fp32=0.5))


def test_whatever_tensorrt_raises_auto_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT's Python has no error of its own: any exception of it is told and fallen back on."""

    def raising(*_: object) -> None:
        raise RuntimeError("an internal one")

    monkeypatch.setattr(choice, "find_gpu", lambda: Gpu("Orin", "8.7", True))
    monkeypatch.setattr(GraphOpener, "_plan", lambda *_: b"plan")
    monkeypatch.setattr(choice, "TensorRtRunner", raising)
    opener = GraphOpener(BackendChoice("auto", 1, tmp_path / "engines"))
    found = load_safest(_bundle(tmp_path, "fp32"), opener)
    assert opener.providers == {"inspector": "CPUExecutionProvider"}
    assert found.certificates == ()


def test_auto_runs_on_onnx_runtime_where_there_is_no_gpu(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device without a GPU judges on ONNX Runtime and is not warned of it at every start."""
    monkeypatch.setattr(choice, "find_gpu", lambda: None)
    opener = GraphOpener(BackendChoice("auto", 1, tmp_path / "engines"))
    found = load_safest(_bundle(tmp_path, "fp32"), opener)
    assert opener.providers == {"inspector": "CPUExecutionProvider"}
    assert found.certificates == ()
    assert caplog.text == ""


@pytest.mark.needs("TensorRT-RTX")
def test_auto_says_why_a_gpu_stays_idle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a GPU but no engine for it "auto" judges on the CPU meanwhile and names the command."""
    monkeypatch.setattr(choice, "find_gpu", lambda: Gpu("Orin", "8.7", True))
    opener = GraphOpener(BackendChoice("auto", 1, tmp_path / "engines"))
    found = load_safest(_bundle(tmp_path, "fp32"), opener)
    assert opener.providers == {"inspector": "CPUExecutionProvider"}
    assert "inspector runs on the CPU meanwhile" in caplog.text
    assert "edge-app engine build" in caplog.text
    assert found.model.shortfall.startswith("no engine for the inspector: ")


def test_a_gpu_without_tensorrt_is_no_shortfall(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many a laptop has a GPU and no TensorRT: logged, but the device is not degraded for it."""
    monkeypatch.setattr(choice, "find_gpu", lambda: Gpu("Laptop", "8.6", False))
    monkeypatch.setattr(tensorrt_library, "MODULES", ("no_such_tensorrt",))
    tensorrt_library.load_tensorrt.cache_clear()
    opener = GraphOpener(BackendChoice("auto", 1, tmp_path / "engines"))
    found = load_safest(_bundle(tmp_path, "fp32"), opener)
    assert "No TensorRT can be used here" in caplog.text
    assert found.model.shortfall == ""


def test_demanded_tensorrt_without_engine_refuses_to_start(tmp_path: Path) -> None:
    """backend = "tensorrt" never falls back in silence."""
    opener = GraphOpener(BackendChoice("tensorrt", 1, tmp_path / "engines"))
    with pytest.raises(ModelError):
        load_safest(_bundle(tmp_path, "fp32"), opener)
