"""The engine cache: what fits is found, what does not says why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_app.backends.cuda_driver import Gpu
from edge_app.backends.engine_cache import EngineCache, engine_key, total_mb
from edge_app.errors import ModelError

KEY = engine_key(b"graph", "tensorrt", "10.3.0", Gpu("Orin", "8.7", True), "fp16", 8)


def test_stored_engine_is_loaded_again(tmp_path: Path) -> None:
    """What was stored under a key comes back byte for byte, in another process's cache too."""
    EngineCache(tmp_path / "engines").store(KEY, "inspector", b"plan", 12.34)
    cache = EngineCache(tmp_path / "engines")
    assert cache.load(KEY) == b"plan"
    (entry,) = cache.entries()
    assert (entry.graph, entry.length, entry.build_s) == ("inspector", 4, 12.3)
    assert total_mb([entry]) == 4 / (1 << 20)


def test_empty_cache_says_how_to_build(tmp_path: Path) -> None:
    """Without any engine the message names the command."""
    with pytest.raises(ModelError, match=r"yet.*edge-app engine build"):
        EngineCache(tmp_path / "none").load(KEY)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": "10.13.0"}, "version: 10.3.0, now 10.13.0"),
        ({"gpu": "Thor", "compute_capability": "11.0"}, "gpu: Orin, now Thor"),
        ({"max_batch": 4}, "max_batch: 8, now 4"),
        ({"precision": "fp32"}, "precision: fp16, now fp32"),
    ],
)
def test_update_voids_the_engine_and_says_what_changed(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    """After a system update or a change of GPU the old engine is not used, and the reason told."""
    cache = EngineCache(tmp_path)
    cache.store(KEY, "inspector", b"plan", 1.0)
    with pytest.raises(ModelError, match=told):
        cache.load(replace(KEY, **change))  # type: ignore[arg-type]


def test_another_graph_has_no_engine(tmp_path: Path) -> None:
    """An engine of another graph is never offered."""
    cache = EngineCache(tmp_path)
    cache.store(KEY, "inspector", b"plan", 1.0)
    with pytest.raises(ModelError, match="No engine was built for this graph"):
        cache.load(replace(KEY, onnx_sha256="0" * 64))


def test_damaged_engine_is_refused(tmp_path: Path) -> None:
    """One changed byte in the engine is noticed before TensorRT sees it."""
    cache = EngineCache(tmp_path)
    cache.store(KEY, "inspector", b"plan", 1.0)
    (tmp_path / f"{KEY.digest()}.plan").write_bytes(b"plaN")
    with pytest.raises(ModelError, match="damaged"):
        cache.load(KEY)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 2}', b"\xff"])
def test_unreadable_description_counts_as_no_engine(tmp_path: Path, content: bytes) -> None:
    """A half-written or foreign JSON file is no engine, and no crash."""
    cache = EngineCache(tmp_path)
    cache.store(KEY, "inspector", b"plan", 1.0)
    (tmp_path / f"{KEY.digest()}.json").write_bytes(content)
    assert cache.entries() == []
    with pytest.raises(ModelError, match="No engine"):
        cache.load(KEY)


def test_description_without_engine_does_not_count(tmp_path: Path) -> None:
    """Power lost between the two files leaves no engine that only seems to be there."""
    cache = EngineCache(tmp_path)
    cache.store(KEY, "inspector", b"plan", 1.0)
    (tmp_path / f"{KEY.digest()}.plan").unlink()
    assert cache.entries() == []


def test_description_that_lies_about_its_key_is_not_used(tmp_path: Path) -> None:
    """A description copied from another machine under this key's name is not believed."""
    cache = EngineCache(tmp_path)
    cache.store(KEY, "inspector", b"plan", 1.0)
    about = tmp_path / f"{KEY.digest()}.json"
    content = json.loads(about.read_bytes())
    content["key"]["version"] = "10.4.0"
    about.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"10\.4\.0, now 10\.3\.0"):
        cache.load(KEY)


def test_prune_keeps_what_fits_and_removes_left_overs(tmp_path: Path) -> None:
    """Pruning removes other versions' engines and half-written files, and nothing else."""
    cache = EngineCache(tmp_path)
    old = replace(KEY, version="10.2.0")
    cache.store(KEY, "inspector", b"new", 1.0)
    cache.store(old, "inspector", b"old", 1.0)
    (tmp_path / "0123456789abcdef.plan.partial").write_bytes(b"half")
    timing = cache.timing_cache_file(KEY)
    timing.write_bytes(b"timings")
    removed = cache.prune(lambda key: key.version == "10.3.0")
    assert [e.key for e in cache.entries()] == [KEY]
    assert sorted(f.suffix for f in removed) == [".json", ".partial", ".plan"]
    assert timing.is_file()
    assert cache.load(KEY) == b"new"


def test_unwritable_cache_is_told(tmp_path: Path) -> None:
    """A cache that cannot be written says that each start would build again."""
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(ModelError, match=r"built again at every start.*engine_dir"):
        EngineCache(blocked / "engines").store(KEY, "inspector", b"plan", 1.0)


def test_timings_belong_to_one_gpu_and_version(tmp_path: Path) -> None:
    """Another TensorRT or GPU never reads this one's timings; another graph does."""
    cache = EngineCache(tmp_path)
    mine = cache.timing_cache_file(KEY)
    assert mine == cache.timing_cache_file(replace(KEY, onnx_sha256="1" * 64, max_batch=1))
    assert mine != cache.timing_cache_file(replace(KEY, version="10.4.0"))
    assert mine != cache.timing_cache_file(replace(KEY, gpu="Thor"))


def test_timings_are_kept_whole_or_not_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Power lost in between leaves the old ones; a full disk is a warning, the engine is there."""
    cache = EngineCache(tmp_path)
    cache.store_timings(KEY, b"learnt")
    assert cache.timing_cache_file(KEY).read_bytes() == b"learnt"
    assert list(tmp_path.glob("*.partial")) == []
    EngineCache(tmp_path / "gone").store_timings(KEY, b"learnt")
    assert "timings cannot be kept" in caplog.text


@pytest.mark.parametrize("field", ["graph", "length", "build_s"])
def test_a_description_with_a_value_of_another_kind_is_none(tmp_path: Path, field: str) -> None:
    """The list of engines can be printed all the same."""
    cache = EngineCache(tmp_path)
    cache.store(KEY, "inspector", b"plan", 1.0)
    file = next(tmp_path.glob("*.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: {"a": []}}))
    assert cache.entries() == []
