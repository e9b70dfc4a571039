"""What a device expects of an inspector's graph, tried on the graph of a plug-in's method.

Our own methods are held to it by their tests; nobody has tested a plug-in's. Each thing that is
wrong is one sentence for its author.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calibration.graphs.operators import problems_for_tensorrt
from edge_app.backends.onnx import OnnxRunner
from edge_app.errors import ModelError
from edge_app.records import F32Array, U8Array
from export.methods.time_budget import Now
from export.networks.onnx_export import MAP_STRIDE

MAX_BYTES = 512 * 2**20
"""Of a graph: a device loads it beside the one in use. The largest of ours has about 300 MB."""

MAX_CROP_S = 5.0
"""For one crop on the CPU, the fastest of a few: no line waits so long for a part."""

TIMED = 3

RELATIVE, ABSOLUTE = 1e-2, 1e-3
"""Rounding may differ between batches and between torch and ONNX; more is another judgement."""

MOST_TOLD = 5

_Outputs = tuple[F32Array, F32Array]


def module_problem(graph: torch.nn.Module, crops: U8Array) -> str:
    """Return what is wrong with a trained module; "" if it judges the crops as it should.

    Args:
        crops: uint8 (n, h, w, 3), good ones.
    """
    try:
        with torch.no_grad():
            returned = graph.eval()(torch.from_numpy(np.array(crops)))
    except Exception as error:
        return f"it raised {type(error).__name__} for {len(crops)} crops: {first_line(error)}"
    is_pair = isinstance(returned, tuple | list) and len(returned) == 2
    if not is_pair or not all(isinstance(each, torch.Tensor) for each in returned):
        return f"it returned {_what(returned)}, expected two tensors: score and map"
    return _outputs_problem(returned, crops)


def file_problems(
    file: Path, graph: torch.nn.Module, crops: U8Array, now: Now = time.perf_counter
) -> tuple[str, ...]:
    """Return what keeps an exported graph from a device, a sentence each; empty if nothing does.

    Args:
        graph: what the file was exported from.
        crops: uint8 (n, h, w, 3), good ones, n >= 2.
        now: the clock that crops are timed by.
    """
    size = file.stat().st_size
    if size > MAX_BYTES:
        most = MAX_BYTES / 1e6
        return (f"it has {size / 1e6:.0f} MB, expected at most {most:.0f} MB: keep fewer numbers",)
    told = [f"for TensorRT 10.3, {p}" for p in problems_for_tensorrt(file.read_bytes())]
    try:
        told += _run_problems(OnnxRunner(file, is_together=True), graph, crops, now)
    except ModelError as error:
        told.append(first_line(error))
    return tuple(told[:MOST_TOLD])


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; torch goes on with pages."""
    return (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")


def _run_problems(
    runner: OnnxRunner, graph: torch.nn.Module, crops: U8Array, now: Now
) -> Iterator[str]:
    shape = (None, *crops.shape[1:])
    found = [(t.name, t.dtype, t.shape) for t in runner.describe().inputs]
    if found != [("crops", "uint8", shape)]:
        yield (
            f"its inputs are {found}, expected crops, uint8, {shape}: keep the number of crops open"
        )
        return
    together, alone = _run(runner, crops), _run(runner, crops[:1])
    for outputs, judged in ((together, crops), (alone, crops[:1])):
        if problem := _outputs_problem(outputs, judged):
            yield problem
            return
    if _differ(alone, [each[:1] for each in together]):
        yield "it judges a crop alone otherwise than among others: let no crop touch another's"
    if _differ(_run(runner, crops), together, exactly=True):
        yield "it judges the same crops otherwise the second time: leave nothing to chance"
    with torch.no_grad():
        expected = [each.numpy() for each in graph(torch.from_numpy(np.array(crops)))]
    if _differ(together, expected):
        yield (
            "as ONNX it judges otherwise than in torch: an `if` or a loop over values is written "
            "into the graph as it went for one example"
        )
    took_s = _fastest_s(runner, crops[:1], now)
    if took_s > MAX_CROP_S:
        yield f"it takes {took_s:.1f} s for a crop, expected at most {MAX_CROP_S:.0f} s"


def _run(runner: OnnxRunner, crops: U8Array) -> _Outputs:
    outputs = runner.run({"crops": crops})
    return outputs["score"], outputs["map"]


def _outputs_problem(outputs: Sequence[Any], crops: U8Array) -> str:
    """Return what is wrong with a score and a map, tensors or arrays; "" if nothing is."""
    n, h, w = crops.shape[:3]
    shapes = {"score": (n,), "map": (n, h // MAP_STRIDE, w // MAP_STRIDE)}
    for (name, shape), values in zip(shapes.items(), outputs, strict=True):
        dtype = str(values.dtype).removeprefix("torch.")
        if (dtype, tuple(values.shape)) != ("float32", shape):
            return (
                f"its {name} for {n} crops of {h} × {w} px is {dtype} {tuple(values.shape)}, "
                f"expected float32 {shape}"
            )
        if not np.isfinite(np.asarray(values)).all():
            return f"its {name} is not finite for good crops"
    if (np.asarray(outputs[1]) < 0).any():
        return "its map has values below 0, expected 0 and more on an absolute scale"
    return ""


def _differ(found: Sequence[F32Array], expected: Sequence[F32Array], exactly: bool = False) -> bool:
    if exactly:
        return any(f.tobytes() != e.tobytes() for f, e in zip(found, expected, strict=True))
    return not all(
        np.allclose(f, e, RELATIVE, ABSOLUTE * max(1.0, float(np.abs(e).max())))
        for f, e in zip(found, expected, strict=True)
    )


def _fastest_s(runner: OnnxRunner, crops: U8Array, now: Now) -> float:
    taken = []
    for _ in range(TIMED):
        began = now()
        _run(runner, crops)
        taken.append(now() - began)
    return min(taken)


def _what(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__
