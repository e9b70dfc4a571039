"""The classifier's last layer: softmax regression on standardised features. Maths only, no IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from edge_app.records import F32Array, F64Array

Labels = NDArray[np.int64]

ITERATIONS = 60
"""Of L-BFGS: the loss no longer moves in its fourth digit."""

FOLDS = 5

LOST_SHARE = 0.05
"""Of the examples that cross-validation names rightly, so many may become "unknown"."""

MIN_SPREAD = 1e-6
"""A feature that varies less is a constant and is left as it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Softmax regression.

    Attributes:
        mean, spread: (d,) of the training features.
        weight: (d, c) on standardised features; bias: (c,).
    """

    mean: F32Array
    spread: F32Array
    weight: F32Array
    bias: F32Array

    def logits(self, features: F32Array) -> F32Array:
        """Return (n, c) for (n, d) features."""
        standard = (features - self.mean) / self.spread
        return np.asarray(standard @ self.weight + self.bias, np.float32)


def fit_head(features: F32Array, labels: Labels, kinds: int, l2: float) -> Head:
    """Return the minimum of mean cross-entropy + l2 · Σ weight².

    Args:
        features: (n, d) float32.
        labels: (n,), 0..kinds−1.
    """
    mean = features.mean(axis=0)
    spread = np.maximum(features.std(axis=0), MIN_SPREAD)
    x = torch.from_numpy(((features - mean) / spread).astype(np.float32))
    y = torch.from_numpy(labels)
    weight = torch.zeros(x.shape[1], kinds, requires_grad=True)
    bias = torch.zeros(kinds, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = functional.cross_entropy(x @ weight + bias, y) + l2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return Head(
        mean.astype(np.float32),
        spread.astype(np.float32),
        weight.detach().numpy(),
        bias.detach().numpy(),
    )


def softmax(logits: F32Array) -> F64Array:
    """Return (n, c) probabilities."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares: F64Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def folds_of(sources: Sequence[str], labels: Labels, seed: int) -> Labels:
    """Return each example's fold: examples of one source together, kinds spread evenly."""
    rng = np.random.default_rng([seed, 3])
    names = sorted(set(sources))
    counts = np.zeros((FOLDS, int(labels.max()) + 1))
    of_source: dict[str, int] = {}
    for index in rng.permutation(len(names)):
        mine = labels[[s == names[index] for s in sources]]
        load = counts[:, mine].sum(axis=1) + 1e-3 * counts.sum(axis=1)
        of_source[names[index]] = fold = int(load.argmin())
        np.add.at(counts[fold], mine, 1)
    return np.array([of_source[s] for s in sources])


def cross_validated(
    training: F32Array, judged: F32Array, labels: Labels, folds: Labels, l2: float
) -> F64Array:
    """Return the probabilities that examples get from heads that never saw their source.

    Args:
        training: (v, n, d), the examples in all views that are trained on.
        judged: (j, n, d), in the views that are judged.

    Returns:
        (j, n, c).
    """
    kinds = int(labels.max()) + 1
    found = np.zeros((*judged.shape[:2], kinds))
    for fold in range(FOLDS):
        out = folds == fold
        if not out.any():
            continue
        head = _fitted(training[:, ~out], labels[~out], kinds, l2)
        for view, features in enumerate(judged):
            found[view, out] = softmax(head.logits(features[out]))
    return found


def _fitted(training: F32Array, labels: Labels, kinds: int, l2: float) -> Head:
    return fit_head(
        training.reshape(-1, training.shape[-1]), np.tile(labels, len(training)), kinds, l2
    )


def fit_on_views(training: F32Array, labels: Labels, l2: float) -> Head:
    """Return the head fitted on every view, (v, n, d), of every example."""
    return _fitted(training, labels, int(labels.max()) + 1, l2)


def accuracy(probabilities: F64Array, labels: Labels) -> float:
    """Return the mean over the kinds of the share named rightly, 0..1.

    Args:
        probabilities: (j, n, c).
    """
    right = probabilities.argmax(axis=2) == labels  # (j, n)
    return float(np.mean([right[:, labels == k].mean() for k in np.unique(labels)]))


def keep_threshold(probabilities: F64Array, labels: Labels) -> float:
    """Return the softmax threshold that loses LOST_SHARE of what is named rightly; 0 if nothing is.

    Args:
        probabilities: (j, n, c), cross-validated.
    """
    right = probabilities.argmax(axis=2) == labels
    sure = probabilities.max(axis=2)[right]
    return float(np.quantile(sure, LOST_SHARE)) if sure.size else 0.0


def unseen_class_rejected(training: F32Array, judged: F32Array, labels: Labels, l2: float,
                       threshold: float) -> float:  # fmt: skip
    """Return the share of a kind's examples called unknown by heads that never saw that kind.

    Args:
        training: (v, n, d); judged: (j, n, d); at least three kinds.
    """
    shares = []
    for unseen in np.unique(labels):
        known = labels != unseen
        renumbered = labels[known] - (labels[known] > unseen)
        head = fit_on_views(training[:, known], renumbered, l2)
        logits = head.logits(judged[:, ~known].reshape(-1, judged.shape[-1]))
        shares.append(float((softmax(logits).max(axis=1) <= threshold).mean()))
    return float(np.mean(shares))
