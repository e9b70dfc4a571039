"""Methods that are refitted for each fold: no crop is judged by a model that has seen it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.method_parts import damaged, parts, run_torch, train

from export.defects.evidence import Evidence
from export.methods.cross_fit import cross_fitted
from export.methods.padim import SLIM, PaDiM
from export.methods.patchcore import PatchCore, PatchCoreSettings
from export.methods.protocol import (
    FITTED_ONLY,
    Method,
    Trained,
    TrainingSet,
    TrainSettings,
    Traits,
)
from export.methods.train import CROSS_FITTED_FILE, cross_fits, cross_fitted_beside, train_method
from export.workspace import OnProgress

pytestmark = pytest.mark.needs("the extra train")

COUNT, MARKED = 12, 5


class SeenBefore(torch.nn.Module):
    """Scores a crop by its difference from the most similar one of training: 0 if it was there."""

    def __init__(self, seen: np.ndarray) -> None:
        super().__init__()
        self.seen = torch.from_numpy(seen).float()

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        apart = (crops.float()[:, None] - self.seen[None]).abs().mean((2, 3, 4)).amin(1)
        return apart, apart[:, None, None].expand(-1, 2, 2)


@dataclass(frozen=True)
class Remembers:
    """A method that keeps what it was given."""

    name: str = "remembers"
    paper: str = "none, 2026"
    traits: Traits = FITTED_ONLY
    given: list[TrainingSet] = field(default_factory=list)

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        self.given.append(data)
        return Trained(SeenBefore(data.crops), {"method": self.name, "settings": {}})


def settings(work: Path) -> TrainSettings:
    return TrainSettings(seed=3, steps=1, device="cpu", work=work)


def silent(_text: str, _share: float) -> None:
    """Nothing to show."""


def good_crops() -> TrainingSet:
    """Good parts: one has a mark of its own, the last one is the first one's twin."""
    data = parts(COUNT)
    data.crops[MARKED, 20:44, 40:60] = 255
    data.crops[-1] = data.crops[0]
    return data


def evidence(defects: np.ndarray) -> Evidence:
    """Defects drawn on the first parts; twins are one group."""
    groups = np.arange(COUNT)
    groups[-1] = 0
    number = np.arange(len(defects))
    return Evidence(groups, defects, number, number, (("spot", "small"),) * len(defects))


def test_nothing_is_judged_by_a_model_that_has_seen_it_or_its_twin(tmp_path: Path) -> None:
    """What has seen a crop scores it 0: no score is 0, also of defects on a fold's own parts."""
    data, method = good_crops(), Remembers()
    found = cross_fitted(
        method, data, evidence(data.crops[: COUNT - 1].copy()), settings(tmp_path), silent
    )
    assert (found.good > 0).all()
    assert (found.defects > 0).all()
    assert (found.good == found.good_peaks).all()
    assert len(method.given) == found.folds == 10
    assert sum(COUNT - len(subset.crops) for subset in method.given) == COUNT
    assert all(subset.evidence is None for subset in method.given)


@pytest.mark.parametrize(
    "method",
    [PatchCore(settings=PatchCoreSettings(coreset=50)), PaDiM("padim-slim", SLIM)],
    ids=["patchcore", "padim-slim"],
)
def test_a_part_with_a_mark_of_its_own_is_strange_to_its_fold(
    method: Method, tmp_path: Path
) -> None:
    """The shipped model has seen the mark and hardly minds it; its fold's model had not."""
    data = good_crops()
    bad = np.stack([damaged(i) for i in range(4)])
    found = cross_fitted(method, data, evidence(bad), settings(tmp_path), silent)
    shipped, _ = run_torch(train(method, tmp_path, data=data), data.crops)
    assert int(found.good.argmax()) == MARKED
    assert found.good[MARKED] > 1.2 * shipped[MARKED]
    others = np.delete(found.good, MARKED)
    assert found.defects.min() > np.median(others)
    assert found.labels == (("spot", "small"),) * 4


@pytest.mark.parametrize("name", ["padim-slim", "cutpaste"])
def test_training_leaves_the_folds_scores_beside_the_graph(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a method cross-fits and evidence is given; nothing else leaves or needs them."""
    data = good_crops()
    given = evidence(np.stack([damaged(i) for i in range(3)]))
    monkeypatch.setattr("export.methods.train.method_of", lambda _name: named(name))
    monkeypatch.setattr("export.methods.written.write_graph", lambda *_: None)
    for work, kept in ((tmp_path / "with", given), (tmp_path / "without", None)):
        work.mkdir()
        train_method(name, list(data.crops), None, settings(work), silent, evidence=kept)
        beside = cross_fitted_beside(work / "inspector.onnx")
        assert (work / CROSS_FITTED_FILE).is_file() == (beside is not None)
        assert (beside is not None) == (name == "padim-slim" and kept is not None)
        if beside is not None:
            assert (beside.good > 0).all()


def named(name: str) -> Remembers:
    """The memory under a method's name, with or without folds."""
    traits = FITTED_ONLY if name == "padim-slim" else replace(FITTED_ONLY, cross_fits="no")
    return Remembers(name, traits=traits)


def test_auto_is_cross_fitted_because_all_its_candidates_are() -> None:
    """A candidate that were not would have no limit: no part is held back for it."""
    from export.auto_method.select import CANDIDATES

    assert cross_fits("auto")
    assert all(cross_fits(name) for name in CANDIDATES)
    assert not cross_fits("cropliq")
