"""OpenVINO runs the graphs as ONNX Runtime does, is kept compiled, and is taken where it pays."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.needs import OPENVINO_DIR
from support.small_bundles import GRAPHS

import edge_app
from edge_app.backends import choice
from edge_app.backends.choice import BackendChoice, GraphOpener, times_s
from edge_app.backends.engine_cache import EngineCache
from edge_app.backends.onnx import PROVIDER, OnnxRunner
from edge_app.backends.openvino import OpenVinoRunner
from edge_app.bundle.archive import read_bundle
from edge_app.errors import ModelError

SHIPPED = Path(edge_app.__file__).parent / "assets" / "demo-tapered.bundle"
BRIGHT = (GRAPHS / "bright_inspector.onnx").read_bytes()


@pytest.fixture(scope="module")
def openvino() -> Iterator[None]:
    """Put OpenVINO where this process finds it, for these tests only."""
    sys.path.insert(0, str(OPENVINO_DIR))
    try:
        importlib.import_module("openvino")
        yield
    finally:
        sys.path.remove(str(OPENVINO_DIR))
        for name in [n for n in sys.modules if n.partition(".")[0] == "openvino"]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def graphs() -> dict[str, bytes]:
    files = read_bundle(SHIPPED).files
    return {name: data for name, data in files.items() if name.endswith(".onnx")}


def crops(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 128, 448, 3), np.uint8)


@pytest.mark.needs("the extra openvino")
@pytest.mark.usefixtures("openvino")
def test_the_shipped_graphs_give_the_same_figures(graphs: dict[str, bytes]) -> None:
    """Scores and maps within a ten-thousandth, for one crop and for several."""
    ours = OnnxRunner(graphs["inspector.onnx"], 1)
    theirs = OpenVinoRunner(graphs["inspector.onnx"], "inspector", 1)
    assert theirs.describe().inputs == ours.describe().inputs
    assert [t.name for t in theirs.describe().outputs] == ["score", "map"]
    assert theirs.describe().provider.startswith("openvino 20")
    for count in (1, 3, 2):
        wanted = ours.run({"crops": crops(count)})
        first = theirs.run({"crops": crops(count)})
        for name, values in wanted.items():
            assert first[name].shape == values.shape
            assert np.allclose(first[name], values, rtol=1e-3, atol=1e-3)


@pytest.mark.needs("the extra openvino")
@pytest.mark.usefixtures("openvino")
def test_the_same_input_gives_the_same_bytes_and_results_are_not_overwritten() -> None:
    runner = OpenVinoRunner(BRIGHT, "inspector", 1)
    (tensor,) = runner.describe().inputs
    shape = [axis or 1 for axis in tensor.shape]
    dark, light = (np.full(shape, v, tensor.dtype) for v in (10, 240))
    first = runner.run({tensor.name: dark})["score"]
    kept = first.copy()
    other = runner.run({tensor.name: light})["score"]
    assert (first == kept).all()
    assert (other != first).all()
    assert runner.run({tensor.name: dark})["score"].tobytes() == kept.tobytes()


@pytest.mark.needs("the extra openvino")
@pytest.mark.usefixtures("openvino")
def test_what_is_no_graph_or_breaks_the_contract_is_said_in_words() -> None:
    with pytest.raises(ModelError, match="OpenVINO does not accept the graph"):
        OpenVinoRunner(b"no graph", "inspector")
    runner = OpenVinoRunner(BRIGHT, "inspector")
    with pytest.raises(ModelError, match="takes the inputs"):
        runner.run({})
    runner.close()
    runner.close()
    with pytest.raises(ModelError, match="was closed"):
        runner.run({})


@pytest.mark.needs("the extra openvino")
@pytest.mark.usefixtures("openvino")
def test_a_compiled_graph_is_kept_and_a_damaged_one_compiled_again(tmp_path: Path) -> None:
    """Bytes that are not those that were stored never reach OpenVINO."""
    OpenVinoRunner(BRIGHT, "inspector", 1, tmp_path)
    (entry,) = EngineCache(tmp_path).entries()
    assert (entry.key.library, entry.graph) == ("openvino", "inspector")
    (plan,) = tmp_path.glob("*.plan")
    made_ns = plan.stat().st_mtime_ns
    OpenVinoRunner(BRIGHT, "inspector", 1, tmp_path)
    assert plan.stat().st_mtime_ns == made_ns
    plan.write_bytes(plan.read_bytes()[:-9] + b"something")
    score = OpenVinoRunner(BRIGHT, "inspector", 1, tmp_path)
    assert plan.stat().st_mtime_ns != made_ns
    assert score.describe().provider.startswith("openvino")


@pytest.mark.needs("the extra openvino")
@pytest.mark.usefixtures("openvino")
def test_a_cache_that_cannot_be_written_costs_the_next_start_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "engines").write_text("in the way")
    OpenVinoRunner(BRIGHT, "inspector", 1, tmp_path / "engines")
    assert "is not kept" in caplog.text


@pytest.mark.needs("the extra openvino")
@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize(("openvino_s", "taken"), [(0.5, "openvino"), (0.95, PROVIDER)])
def test_auto_takes_openvino_where_it_saves_a_tenth(
    openvino_s: float, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "find_gpu", lambda: None)
    monkeypatch.setattr(choice, "times_s", lambda *_: (1.0, openvino_s))
    opener = GraphOpener(BackendChoice("auto", 1))
    opener(BRIGHT, "inspector", "fp32")
    assert opener.providers["inspector"].startswith(taken)


@pytest.mark.needs("the extra openvino")
@pytest.mark.usefixtures("openvino")
def test_both_are_timed_on_the_graphs_own_inputs(graphs: dict[str, bytes]) -> None:
    ours = OnnxRunner(graphs["detector.onnx"], 1)
    took = times_s(ours, OpenVinoRunner(graphs["detector.onnx"], "detector", 1))
    assert min(took) > 0


def test_without_it_auto_is_onnx_runtime_and_openvino_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "find_gpu", lambda: None)
    monkeypatch.setattr(choice, "has_openvino", lambda: False)
    opener = GraphOpener(BackendChoice("auto", 1))
    opener(BRIGHT, "inspector", "fp32")
    assert opener.providers == {"inspector": PROVIDER}
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelError, match=r"pip install 'cropliq-edge\[openvino\]'"):
        GraphOpener(BackendChoice("openvino"))(BRIGHT, "inspector", "fp32")


@pytest.mark.needs("the extra openvino")
def test_the_line_judges_with_it_after_the_golden_check(tmp_path: Path) -> None:
    """Every golden picture keeps box and verdict; the certificate names what ran the graphs."""
    program = f"""
import json
from pathlib import Path
from edge_app.backends.choice import BackendChoice, GraphOpener
from edge_app.bundle.archive import read_bundle
from edge_app.model.variant_selection import load_safest
opener = GraphOpener(BackendChoice("openvino", 1, Path({str(tmp_path)!r})))
found = load_safest(read_bundle(Path({str(SHIPPED)!r})), opener)
last = found.certificates[-1]
print(json.dumps([last.reason, last.pictures, last.providers, last.worst_score_difference]))
"""
    path = os.pathsep.join([str(OPENVINO_DIR), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reason, pictures, providers, difference = json.loads(done.stdout.splitlines()[-1])
    assert reason == ""
    assert pictures > 10
    assert all(p.startswith("openvino") for p in providers.values())
    assert difference < 1e-2
