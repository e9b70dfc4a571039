"""Engines built ahead of time by NVIDIA's own builder, through the product's own code."""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from support.engine_compiler import AHEAD_OF_TIME, tensorrt_rtx
from support.small_bundles import GRAPHS

from edge_app.backends import engine_build, tensorrt_build, tensorrt_library
from edge_app.backends.cuda_driver import Gpu
from edge_app.backends.engine_build import build_into
from edge_app.backends.engine_cache import EngineCache, engine_key
from edge_app.backends.tensorrt import _deserialise
from edge_app.backends.tensorrt_build import EngineOptions, build_engine
from edge_app.backends.tensorrt_library import TensorRt
from edge_app.bundle.archive import read_bundle
from edge_app.errors import ModelError

DEMO = Path(str(files("edge_app").joinpath("assets/demo-tapered.bundle")))
OPTIONS = EngineOptions(compute_capability=AHEAD_OF_TIME)


def _bright() -> bytes:
    return (GRAPHS / "bright_inspector.onnx").read_bytes()


@pytest.mark.needs("TensorRT-RTX")
@pytest.mark.parametrize("graph", ["detector.onnx", "inspector.onnx"])
def test_shipped_bundle_compiles_ahead_of_time(graph: str) -> None:
    """Every variant of the shipped bundle's graphs becomes an engine for an Ampere GPU."""
    bundle = read_bundle(DEMO)
    for variant in bundle.manifest.variants:
        name = variant.detector if graph == "detector.onnx" else variant.inspector
        assert name is not None
        built = build_engine(bundle.files[name], OPTIONS)
        print(f"{variant.precision} {name}: {built.layers} layers, {len(built.plan)} bytes")
        assert len(built.plan) > len(bundle.files[name]) // 8
        assert built.layers > 100


@pytest.mark.needs("TensorRT-RTX")
@pytest.mark.parametrize("name", ["bright_inspector", "nan_inspector"])
def test_tiny_graph_compiles_ahead_of_time(name: str) -> None:
    """The graphs the other tests run on compile too."""
    assert build_engine((GRAPHS / f"{name}.onnx").read_bytes(), OPTIONS).plan


@pytest.mark.needs("TensorRT-RTX")
def test_progress_is_told_phase_by_phase() -> None:
    """A build names its phases and ends each at 100 %."""
    told: list[tuple[str, float]] = []
    build_engine(_bright(), OPTIONS, progress=lambda phase, share: told.append((phase, share)))
    assert ("Building engine", 1.0) in told
    assert all(0.0 <= share <= 1.0 for _, share in told)


@pytest.mark.needs("TensorRT-RTX")
@pytest.mark.needs("the extra calibrate")
def test_unknown_operator_is_named() -> None:
    """A graph with an operator that TensorRT lacks is refused with the node's name."""
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("Det", ["x"], ["y"], name="the_determinant")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", kind, [2, 3, 3])],
        [helper.make_tensor_value_info("y", kind, [2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    with pytest.raises(ModelError, match="the_determinant") as refused:
        build_engine(model.SerializeToString(), OPTIONS)
    assert "Det" in str(refused.value)
    assert "docs/tensorrt.md" in str(refused.value)


@pytest.mark.needs("TensorRT-RTX")
def test_what_is_no_graph_is_refused() -> None:
    """Bytes that are no ONNX model are said to be none."""
    with pytest.raises(ModelError, match="sha256"):
        build_engine(b"xx", OPTIONS)


@pytest.mark.needs("TensorRT-RTX")
def test_unknown_target_is_refused() -> None:
    """A GPU that the builder cannot aim at is named, with the way out."""
    with pytest.raises(ModelError, match=r"SM12345.*on the device itself"):
        build_engine(_bright(), EngineOptions(compute_capability="SM12345"))


@pytest.mark.needs("TensorRT-RTX")
@pytest.mark.needs("the extra calibrate")
def test_open_crop_size_is_refused() -> None:
    """A graph whose crop size is open would need a profile nobody knows: it is refused."""
    import onnx

    model = onnx.load_from_string(_bright())
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "h"
    del model.graph.value_info[:]
    with pytest.raises(ModelError, match="only its first axis"):
        build_engine(model.SerializeToString(), OPTIONS)


@pytest.mark.needs("TensorRT-RTX")
def test_child_process_builds_and_stores(tmp_path: Path) -> None:
    """The low-priority child's engine lands in the cache and can be loaded again."""
    trt = tensorrt_rtx()
    cache = EngineCache(tmp_path)
    key = engine_key(_bright(), trt.name, trt.version, Gpu("Orin", "8.6", True), "fp32", 4)
    entry = build_into(
        cache, key, "inspector", _bright(),
        progress=lambda *_: None, timeout_s=120, compute_capability=AHEAD_OF_TIME,
    )  # fmt: skip
    assert entry.length == len(cache.load(key))
    assert cache.entries() == [entry]


@pytest.mark.needs("TensorRT-RTX")
def test_child_that_fails_tells_why(tmp_path: Path) -> None:
    """What goes wrong inside the child comes out as its own sentence; nothing is stored."""
    trt = tensorrt_rtx()
    cache = EngineCache(tmp_path / "engines")
    key = engine_key(b"xx", trt.name, trt.version, Gpu("Orin", "8.6", True), "fp32", 4)
    with pytest.raises(ModelError, match="not an ONNX model"):
        build_into(cache, key, "inspector", b"xx", progress=lambda *_: None, timeout_s=120)
    assert cache.entries() == []


@pytest.mark.needs("TensorRT-RTX")
def test_child_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    """A build past its time-out ends, and the message names the option that gives more time."""
    trt = tensorrt_rtx()
    key = engine_key(_bright(), trt.name, trt.version, Gpu("Orin", "8.6", True), "fp32", 4)
    with pytest.raises(ModelError, match="--timeout-s"):
        build_into(
            EngineCache(tmp_path), key, "inspector", _bright(),
            progress=lambda *_: None, timeout_s=0.05,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("kill -KILL $$", r"code -9 \(killed: too little memory\?\).*--workspace-mb"),
        ("echo 'terminate called' >&2; kill -ABRT $$", "code -6: terminate called"),
    ],
)
def test_child_that_dies_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, told: str
) -> None:
    """A builder that is killed or crashes takes nothing with it; its last words stay."""
    dying = tmp_path / "python"
    dying.write_text(f"#!/bin/sh\n{ending}\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    key = engine_key(_bright(), "tensorrt", "10.3.0", Gpu("Orin", "8.7", True), "fp32", 4)
    cache = EngineCache(tmp_path / "engines")
    with pytest.raises(ModelError, match=told):
        build_into(cache, key, "inspector", _bright(), progress=lambda *_: None, timeout_s=60)
    assert cache.entries() == []


@pytest.mark.parametrize(
    ("library", "capability", "target"),
    [
        ("tensorrt_rtx", "7.5", "SM75"),
        ("tensorrt_rtx", "8.6", None),
        ("tensorrt_rtx_bindings", "7.5", "SM75"),
        ("tensorrt", "7.5", None),
    ],
)
def test_turing_is_named_to_tensorrt_rtx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, capability: str, target: str
) -> None:
    """Its engines do not run on a Turing card unless they were built for one."""
    asked = []

    def child(folder: Path, *_: object) -> None:
        asked.append(json.loads((folder / "options.json").read_text())["compute_capability"])
        (folder / "plan").write_bytes(b"plan")

    monkeypatch.setattr(engine_build, "_run_child", child)
    key = engine_key(b"graph", library, "1.7.1", Gpu("T4", capability, False), "fp32", 4)
    build_into(
        EngineCache(tmp_path), key, "inspector", b"graph", progress=lambda *_: None, timeout_s=1
    )
    assert asked == [target]


@pytest.mark.needs("TensorRT-RTX")
def test_turing_compiles_ahead_of_time() -> None:
    """The target that is named then is one that the builder knows."""
    assert build_engine(_bright(), EngineOptions(compute_capability="SM75")).plan


FORBID = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 141, "aarch64": 140}[os.uname().machine]  # setpriority
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)]
filter = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(filter))
assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges
assert libc.prctl(22, 2, program, 0, 0) == 0  # seccomp: the call fails with EPERM
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Starts Python where setpriority is forbidden, as systemd's SystemCallFilter does."""


@pytest.mark.needs("TensorRT-RTX")
def test_child_builds_where_its_priority_cannot_be_lowered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox that forbids setpriority gets its engine all the same."""
    trt = tensorrt_rtx()
    script, sandboxed = tmp_path / "forbid.py", tmp_path / "python"
    script.write_text(FORBID)
    sandboxed.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    sandboxed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sandboxed))
    cache = EngineCache(tmp_path / "engines")
    key = engine_key(_bright(), trt.name, trt.version, Gpu("Orin", "8.6", True), "fp32", 4)
    entry = build_into(
        cache, key, "inspector", _bright(),
        progress=lambda *_: None, timeout_s=120, compute_capability=AHEAD_OF_TIME,
    )  # fmt: skip
    assert cache.entries() == [entry]


OUT_OF_MEMORY_LOG = [
    "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)",
    "Error Code: 9: Skipping tactic 0x0000000000000000 due to exception [tunable_graph.cpp:create:"
    "117] autotuning: User allocator error allocating 15485030400-byte buffer",
    "IBuilder::buildSerializedNetwork: Error Code 10: Internal Error (Could not find any "
    "implementation for node {ForeignNode[/1/Constant_36_output_0.../1/Slice_4]}.)",
]
"""TensorRT 10.3's own words on a GPU without room (NVIDIA/TensorRT #4258)."""


@pytest.mark.parametrize(
    "problems",
    [
        OUT_OF_MEMORY_LOG,
        ["[virtualMemoryBuffer.cpp::resizePhysical::145] Error Code 2: OutOfMemory (no further)"],
        [OUT_OF_MEMORY_LOG[0], *OUT_OF_MEMORY_LOG[2:] * 5],
        ["could not find any implementation for node conv0 due to insufficient workspace"],
    ],
    ids=["10.3", "8.6", "far up", "workspace"],
)
def test_out_of_memory_is_known_from_tensorrts_words(problems: list[str]) -> None:
    """However TensorRT puts it and however far up it stands, too little memory is named as such."""
    trt = TensorRt(ModuleType("tensorrt"), "tensorrt", "10.3.0", False, None)
    told = tensorrt_build._why_not_built(trt, problems)
    assert "Too little memory: stop what else uses the GPU, lower runtime.max_batch" in told
    assert problems[-1] in told


def test_other_failure_is_not_taken_for_memory() -> None:
    """A node without an implementation is named, and nobody is sent looking for memory."""
    trt = TensorRt(ModuleType("tensorrt"), "tensorrt", "10.3.0", False, None)
    told = tensorrt_build._why_not_built(trt, OUT_OF_MEMORY_LOG[2:])
    assert "/1/Slice_4" in told
    assert "Too little memory" not in told
    assert "Inspection continues on ONNX Runtime" in told


@pytest.mark.parametrize("damaged", [b"\x00half a file", b"another GPU's"])
def test_timing_cache_that_does_not_fit_is_started_afresh(damaged: bytes) -> None:
    """TensorRT gives None for a damaged cache and False for a foreign one; the build goes on."""
    taken = []

    def create(content: bytes) -> object | None:
        return None if content.startswith(b"\x00") else content

    def use(cache: object, _ignore_mismatch: bool) -> bool:
        if cache is None:
            raise TypeError("set_timing_cache(): incompatible function arguments")
        taken.append(cache)
        return cache == b""

    config = SimpleNamespace(create_timing_cache=create, set_timing_cache=use)
    trt = TensorRt(ModuleType("tensorrt"), "tensorrt", "10.3.0", False, None)
    assert tensorrt_build._timing_cache(trt, config, damaged) == b""
    assert taken[-1] == b""


@pytest.mark.needs("TensorRT-RTX")
def test_builder_that_cannot_start_is_a_model_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With too old a driver TensorRT's Python raises TypeError; the message says so."""
    trt = tensorrt_rtx()

    def refuse(_log: object) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(trt.module, "Builder", refuse)
    with pytest.raises(ModelError, match=r"cannot use the GPU.*driver is older"):
        build_engine(_bright(), OPTIONS)


@pytest.mark.needs("TensorRT-RTX")
def test_plan_that_is_none_is_refused_by_tensorrt_itself(capfd: pytest.CaptureFixture[str]) -> None:
    """TensorRT's own reason is in the output, and the message says how to know it."""
    with pytest.raises(ModelError, match=r"\[TRT\].*engine build --again"):
        _deserialise(tensorrt_rtx(), b"no plan at all" * 20, "inspector")
    assert "[TRT] [E] IRuntime::deserializeCudaEngine" in capfd.readouterr().out


@pytest.mark.needs("TensorRT-RTX")
def test_whole_process_has_one_logger() -> None:
    """Every engine gets the same logger: TensorRT goes on using the first one it was given."""
    assert tensorrt_rtx().log is tensorrt_rtx().log
    assert tensorrt_library.make_runtime(tensorrt_rtx()).logger is tensorrt_rtx().log


def test_without_tensorrt_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no TensorRT is installed the message says what was tried and what runs without it."""
    monkeypatch.setattr(tensorrt_library, "MODULES", ("tensorrt_that_is_not_there",))
    tensorrt_library.load_tensorrt.cache_clear()
    try:
        with pytest.raises(ModelError, match=r"not installed.*onnxruntime"):
            tensorrt_library.load_tensorrt()
    finally:
        tensorrt_library.load_tensorrt.cache_clear()


def test_import_needs_no_tensorrt() -> None:
    """Importing the builder and the cache does not import TensorRT."""
    import subprocess

    program = (
        "import sys, edge_app.backends.engine_build, edge_app.backends.engine_cache\n"
        "print([m for m in sys.modules if m.startswith(('tensorrt', 'pycuda'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
