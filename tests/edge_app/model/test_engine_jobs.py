"""A new bundle's engines: which are missing, and NVIDIA's own builder at work without a GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from queue import Queue

import pytest
from support.activation_bundles import golden_files, manifest_of
from support.engine_compiler import AHEAD_OF_TIME, AMPERE, key_of
from support.small_bundles import GRAPHS, bright_files

from edge_app.activation.model_loader import Loader, Ready
from edge_app.backends import choice
from edge_app.backends.choice import BackendChoice, GraphOpener
from edge_app.backends.engine_cache import EngineCache, EngineKey
from edge_app.bundle.archive import Bundle, read_bundle, write_bundle
from edge_app.config.model import AppConfig
from edge_app.errors import ModelError
from edge_app.model.engine_jobs import BuildGivenUp, EngineBuilder
from edge_app.model.load_for_device import engine_builder
from edge_app.model.variant_selection import load_safest


def builder_into(folder: Path, precision: str | None = None) -> EngineBuilder:
    return EngineBuilder(EngineCache(folder), key_of, 4, precision, target=AHEAD_OF_TIME)


def bundle_of(folder: Path, graph: str = "bright_inspector") -> Bundle:
    """Return the brightness bundle with an fp16 variant beside the fp32 one, of another graph."""
    manifest = manifest_of()
    fp32 = manifest.variants[0]
    fp16 = fp32.model_copy(update={"precision": "fp16", "inspector": "fp16.onnx"})
    both = manifest.model_copy(update={"variants": (fp16, fp32)})
    other = (GRAPHS / f"{graph}.onnx").read_bytes()
    write_bundle(
        folder / "a.bundle", both, {**bright_files(), **golden_files(), "fp16.onnx": other}
    )
    return read_bundle(folder / "a.bundle")


@pytest.mark.needs("TensorRT-RTX")
def test_every_variant_that_may_judge_gets_its_engine_once(tmp_path: Path) -> None:
    """fp16 first, fp32 as its fallback; the second time nothing is missing and nothing is told."""
    bundle, builder = bundle_of(tmp_path, "nan_inspector"), builder_into(tmp_path / "engines")
    assert [(j.key.precision, j.graph) for j in builder.missing(bundle)] == [
        ("fp16", "inspector"),
        ("fp32", "inspector"),
    ]
    told: list[float] = []
    assert builder.build_missing(bundle, told.append) == ""
    assert builder.missing(bundle) == []
    assert told == sorted(told)
    assert told[0] == 0.0
    assert 50.0 <= told[-1] <= 100.0, "the second of two has begun"
    told.clear()
    assert builder.build_missing(bundle, told.append) == ""
    assert told == []


@pytest.mark.needs("TensorRT-RTX")
def test_a_safer_precision_asked_for_builds_no_other(tmp_path: Path) -> None:
    """Where the configuration begins with fp32, the fp16 engine is never needed."""
    bundle, builder = bundle_of(tmp_path), builder_into(tmp_path / "engines", "fp32")
    assert [job.key.precision for job in builder.missing(bundle)] == ["fp32"]
    builder = builder_into(tmp_path / "engines", "int8")
    missing = [job.key.precision for job in builder.missing(bundle)]
    assert missing == ["fp16", "fp32"], "no int8 in the bundle: its preferred variant judges"


@pytest.mark.needs("TensorRT-RTX")
def test_a_graph_that_cannot_be_built_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    """The reason names the variant; the fallback's engine is there."""
    bundle = bundle_of(tmp_path)
    bundle = replace(bundle, files={**bundle.files, "fp16.onnx": b"no graph at all"})
    builder = builder_into(tmp_path / "engines")
    failures = builder.build_missing(bundle, lambda _: None)
    assert failures.startswith("fp16 inspector: ")
    assert [job.key.precision for job in builder.missing(bundle)] == ["fp16"]


@pytest.mark.needs("TensorRT-RTX")
def test_a_build_that_nobody_wants_any_more_ends_at_once(tmp_path: Path) -> None:
    """Whoever hears of the progress may end it: the builder's process goes, no engine is left."""

    def no(_percent: float) -> None:
        raise BuildGivenUp("another product was asked for")

    bundle, builder = bundle_of(tmp_path), builder_into(tmp_path / "engines")
    with pytest.raises(BuildGivenUp):
        builder.build_missing(bundle, no)
    assert len(builder.missing(bundle)) == 2


@pytest.mark.needs("TensorRT-RTX")
def test_a_build_that_takes_too_long_is_stopped_and_told(tmp_path: Path) -> None:
    """The time limit is for one engine; the message says what to do."""
    bundle = bundle_of(tmp_path)
    cache = EngineCache(tmp_path / "engines")
    builder = EngineBuilder(cache, key_of, 4, "fp32", AHEAD_OF_TIME, timeout_s=0.01)
    assert "took longer than 0 s and was stopped" in builder.build_missing(bundle, lambda _: None)


def test_without_tensorrt_the_reason_is_told_and_nothing_built(tmp_path: Path) -> None:
    """A driver that went away after the start refuses in words, not with a crash."""

    def gone(_model: bytes, _precision: str, _max_batch: int) -> EngineKey:
        raise ModelError("No NVIDIA GPU can be used here")

    builder = EngineBuilder(EngineCache(tmp_path / "engines"), gone, 4)
    failures = builder.build_missing(bundle_of(tmp_path), lambda _: None)
    assert failures == "No NVIDIA GPU can be used here"


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_a_device_that_runs_no_engines_builds_none(
    tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a GPU, or where ONNX Runtime is asked for, there is no builder at all."""
    monkeypatch.setattr("edge_app.backends.choice.find_gpu", lambda: None)
    text = {
        "device": {"site": "s", "line": "l", "device": "d", "state_dir": str(tmp_path)},
        "bundle": {},
        "camera": [{"name": "c", "url": "sim:tapered"}],
        "agent": {"enabled": True},
        "runtime": {"backend": backend},
    }
    assert engine_builder(AppConfig.model_validate(text)) is None


@pytest.mark.needs("TensorRT-RTX")
def test_an_engine_that_was_not_built_is_told_by_the_model_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The builder is out of time: the candidate is ready on ONNX Runtime and says what it lacks."""
    monkeypatch.setattr(choice, "find_gpu", lambda: AMPERE)
    write_bundle(tmp_path / "a.bundle", manifest_of(), {**bright_files(), **golden_files()})
    bundle = read_bundle(tmp_path / "a.bundle")
    cache = EngineCache(tmp_path / "engines")
    late = EngineBuilder(cache, key_of, 4, target=AHEAD_OF_TIME, timeout_s=0.01)
    opener = GraphOpener(BackendChoice("auto", 1, tmp_path / "engines", 4))
    loader = Loader(
        lambda _: bundle,
        lambda found: load_safest(found, opener).model,
        lambda _: None,
        lambda: True,
        engines=late,
    )
    done: Queue[tuple[Ready | None, str]] = Queue()
    loader.start()
    try:
        loader.prepare(
            "main", bundle.sha256, 0, lambda: None, lambda *a: done.put(a), lambda _: None
        )
        ready, why = done.get(timeout=60)
    finally:
        loader.stop()
    assert ready is not None, why
    assert ready.model.shortfall.startswith("not built: fp32 inspector: Building the inspector's")
    assert "took longer than 0 s" in ready.model.shortfall
