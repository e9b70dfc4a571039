"""Sums of false alarms over sets; used by `benchmarks.products`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_app.records import F64Array


def summed(chances: Sequence[F64Array]) -> F64Array:
    """Return the chances of the sum of independent counts."""
    whole = np.ones(1)
    for one in chances:
        whole = np.convolve(whole, one)
    return whole
