"""How large the values that enter each convolution get: histograms over real crops, and three ways
to draw an int8 range from them.

Ranges are symmetric: TensorRT takes a zero point of 0 only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper

from calibration.graphs.onnx_graph import learnt_convolutions, load_graph
from edge_app.backends.onnx import OnnxRunner
from edge_app.backends.protocol import AnyArray
from edge_app.errors import DataError
from edge_app.records import F32Array, F64Array

BINS = 2048
LEVELS = 127
"""int8 from −127 to 127: symmetric, as the weights are."""

CHOICES = 48
"""Ranges tried by `least_squares`, evenly from a quarter of the largest value to all of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Magnitudes of one tensor's values.

    Attributes:
        counts: (BINS,) float64, values per bin over 0..largest.
        largest: the largest magnitude seen.
    """

    counts: F64Array
    largest: float


RangeRule = Callable[[Histogram], float]


def full_range(histogram: Histogram) -> float:
    """Return the largest magnitude: nothing is clipped."""
    return histogram.largest


def percentile_range(histogram: Histogram) -> float:
    """Return the magnitude that 99.99 % of the values stay within."""
    share = np.cumsum(histogram.counts) / max(histogram.counts.sum(), 1.0)
    edge = int(np.searchsorted(share, 0.9999)) + 1
    return histogram.largest * min(edge, BINS) / BINS


def least_squares(histogram: Histogram) -> float:
    """Return the range with the least mean squared error of rounding and clipping together."""
    middles = (np.arange(BINS) + 0.5) * histogram.largest / BINS
    ranges = histogram.largest * np.linspace(0.25, 1.0, CHOICES)
    errors = []
    for limit in ranges:
        step = limit / LEVELS
        rounded = np.clip(np.round(middles / step), 0, LEVELS) * step
        errors.append(float((histogram.counts * (middles - rounded) ** 2).sum()))
    return float(ranges[int(np.argmin(errors))])


RULES: dict[str, RangeRule] = {
    "max": full_range,
    "percentile": percentile_range,
    "least squares": least_squares,
}


def convolution_histograms(
    model: bytes, input_name: str, batches: Iterable[AnyArray], threads: int = 0
) -> dict[str, Histogram]:
    """Return the histogram of every tensor that enters a learnt convolution, by tensor name.

    Two passes over the batches: the largest values first, the histograms then.

    Args:
        batches: what the graph's one input is given, call by call; read twice.

    Raises:
        DataError: there is no batch, or a value is not finite.
    """
    runner, names = _probe(model, threads)
    kept = list(batches)
    if not kept:
        raise DataError("int8 ranges need at least one calibration picture, got none.")
    largest = dict.fromkeys(names, 0.0)
    for batch in kept:
        for name, values in _values(runner, names, {input_name: batch}):
            largest[name] = float(np.maximum(largest[name], np.abs(values).max(initial=0.0)))
    bad = [name for name, value in largest.items() if not np.isfinite(value)]
    if bad:
        raise DataError(
            f"Tensor `{bad[0]}` is not finite on a calibration picture; the fp32 graph itself is "
            "broken there. Check the bundle with edge-app inspect."
        )
    counts = {name: np.zeros(BINS) for name in names}
    for batch in kept:
        for name, values in _values(runner, names, {input_name: batch}):
            top = max(largest[name], 1e-9)
            counts[name] += np.histogram(np.abs(values), BINS, (0.0, top))[0]
    runner.close()
    return {name: Histogram(counts[name], max(largest[name], 1e-9)) for name in names}


def _probe(model: bytes, threads: int) -> tuple[OnnxRunner, list[str]]:
    """Return a runner of the graph with its convolutions' inputs as further outputs."""
    graph = load_graph(model)
    names = sorted({node.input[0] for node in learnt_convolutions(graph.graph)})
    known = {o.name for o in graph.graph.output}
    for name in names:
        if name not in known:
            value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            graph.graph.output.append(value)
    return OnnxRunner(graph.SerializeToString(), threads), names


def _values(
    runner: OnnxRunner, names: list[str], inputs: dict[str, AnyArray]
) -> list[tuple[str, F32Array]]:
    outputs = runner.run(inputs)
    return [(name, np.asarray(outputs[name], np.float32)) for name in names]
