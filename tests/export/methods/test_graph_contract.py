"""What a device expects of a graph, tried on graphs that each break one thing."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from support.method_parts import part
from torch import Tensor, nn

from edge_app.records import U8Array
from export.methods import graph_contract
from export.methods.graph_contract import file_problems, module_problem
from export.methods.onnx_file import write_graph
from export.methods.protocol import Trained

pytestmark = pytest.mark.needs("the extra train")


def good_crops() -> U8Array:
    return np.stack([part(i) for i in range(3)])


class Base(nn.Module):
    """A sound graph, of which each case below breaks one thing."""

    def map_of(self, crops: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(crops.float().mean(3)[:, None], 4)[:, 0]

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        values = self.map_of(crops)
        return values.amax((1, 2)), values


class Doubles(Base):
    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        score, values = super().forward(crops)
        return score.double(), values


class Coarse(Base):
    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        score, values = super().forward(crops)
        return score, values[:, ::2]


class Infinite(Base):
    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        score, values = super().forward(crops)
        return score / (score - score), values


class Negative(Base):
    def map_of(self, crops: Tensor) -> Tensor:
        return super().map_of(crops) - 200


class Fails(Base):
    def map_of(self, crops: Tensor) -> Tensor:
        raise IndexError("no such place")


class Unlisted(Base):
    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        values = self.map_of(crops)
        return torch.linalg.det(values[:, :4, :4]).abs(), values


class Social(Base):
    def map_of(self, crops: Tensor) -> Tensor:
        values = super().map_of(crops)
        return (values - values.mean(0)).square()


class Branches(Base):
    def map_of(self, crops: Tensor) -> Tensor:
        values = super().map_of(crops)
        return values * 3 if float(values.max()) > 1 else values  # the exporter's example is black


MODULES: dict[type[Base], str] = {
    Doubles: "its score for 3 crops of 64 × 96 px is float64 (3,), expected float32 (3,)",
    Coarse: "its map for 3 crops of 64 × 96 px is float32 (3, 8, 24), expected float32 (3, 16, 24)",
    Infinite: "its score is not finite for good crops",
    Negative: "its map has values below 0",
    Fails: "it raised IndexError for 3 crops: no such place",
}
FILES: dict[type[Base], str] = {
    Unlisted: "for TensorRT 10.3, Det",
    Social: "it judges a crop alone otherwise than among others",
    Branches: "as ONNX it judges otherwise than in torch",
}


@pytest.mark.parametrize("graph", MODULES)
def test_what_a_module_does_wrong_is_one_sentence(graph: type[Base]) -> None:
    assert module_problem(graph(), good_crops()).startswith(MODULES[graph])


def exported(graph: nn.Module, folder: Path) -> Path:
    about = {"method": "x", "settings": {}}
    write_graph(Trained(graph, about), (64, 96), folder / "inspector.onnx")
    return folder / "inspector.onnx"


@pytest.mark.parametrize("graph", FILES)
def test_what_a_file_does_wrong_is_one_sentence(graph: type[Base], tmp_path: Path) -> None:
    """Operators that TensorRT lacks, crops that touch each other, an `if` over values."""
    module, judged = graph(), good_crops()
    assert module_problem(module, judged) == ""
    problems = file_problems(exported(module, tmp_path), module, judged)
    assert any(problem.startswith(FILES[graph]) for problem in problems), problems


def test_chance_and_a_fixed_number_of_crops_are_noticed(tmp_path: Path) -> None:
    """Dropout that stays on differs from call to call; a reshape to two takes no third."""

    class Chance(Base):
        def map_of(self, crops: Tensor) -> Tensor:
            return super().map_of(crops) + torch.rand(1)

    class Two(Base):
        def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
            values = self.map_of(crops)
            return values.reshape(int(crops.shape[0]), -1).amax(1), values

    judged = good_crops()
    problems = file_problems(exported(Chance(), tmp_path), Chance(), judged)
    assert any("leave nothing to chance" in problem for problem in problems), problems
    problems = file_problems(exported(Two(), tmp_path), Two(), judged)
    assert any("failed while running" in p or "its score for" in p for p in problems), problems


def test_a_graph_too_large_or_too_slow_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the file's size, and by the fastest of three crops on a clock that is given."""
    module, judged = Base(), good_crops()
    file = exported(module, tmp_path)
    assert file_problems(file, module, judged) == ()
    clock = itertools.count(0, 6)
    (slow,) = file_problems(file, module, judged, lambda: float(next(clock)))
    assert slow == "it takes 6.0 s for a crop, expected at most 5 s"
    monkeypatch.setattr(graph_contract, "MAX_BYTES", 10)
    (large,) = file_problems(file, module, judged)
    assert "expected at most" in large
    assert "MB" in large
