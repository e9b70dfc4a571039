"""Build steps: done once, taken again, done anew when anything before them changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from export.workspace import OnProgress, Workspace


@dataclass(frozen=True)
class Kept:
    """What a step keeps."""

    value: int


class Runs:
    """Counts how often each step really ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran: list[str] = []

    def build(self, first: int, second: int, fails: bool = False) -> list[Kept]:
        space = Workspace(self.folder, lambda *_: None)

        def work(name: str, value: int):  # type: ignore[no-untyped-def]
            def do(folder: Path, report: OnProgress) -> Kept:
                self.ran.append(name)
                if fails and name == "second":
                    raise RuntimeError("power cut")
                (folder / "file").write_text(str(value))
                return Kept(value)

            return do

        results = []
        for name, value in (("first", first), ("second", second)):
            results.append(space.step(name, {"value": value}, Kept, work(name, value))[1])
        return results


def test_a_finished_build_is_taken_as_it_is(tmp_path: Path) -> None:
    """The second run with equal settings does nothing and returns the same."""
    runs = Runs(tmp_path)
    assert runs.build(1, 2) == runs.build(1, 2)
    assert runs.ran == ["first", "second"]


def test_a_changed_step_invalidates_those_behind_it(tmp_path: Path) -> None:
    """Other settings of the first step redo the second too; of the second only itself."""
    runs = Runs(tmp_path)
    runs.build(1, 2)
    runs.build(1, 3)
    runs.build(9, 3)
    assert runs.ran == ["first", "second", "second", "first", "second"]


def test_a_stopped_build_goes_on_where_it_was(tmp_path: Path) -> None:
    """After a stop in the second step the first is not repeated."""
    runs = Runs(tmp_path)
    with pytest.raises(RuntimeError):
        runs.build(1, 2, fails=True)
    assert runs.build(1, 2) == [Kept(1), Kept(2)]
    assert runs.ran == ["first", "second", "second"]


def test_a_half_written_result_is_not_believed(tmp_path: Path) -> None:
    """A done.json cut off in the middle means the step is done again."""
    runs = Runs(tmp_path)
    runs.build(1, 2)
    done = tmp_path / "first" / "done.json"
    done.write_text(done.read_text()[:10])
    runs.build(1, 2)
    assert runs.ran.count("first") == 2


def test_a_result_of_another_shape_is_done_again(tmp_path: Path) -> None:
    """What an older version kept under the same key and this one cannot read is recomputed."""
    runs = Runs(tmp_path)
    runs.build(1, 2)
    done = tmp_path / "first" / "done.json"
    done.write_text(json.dumps({**json.loads(done.read_text()), "result": {"worth": 1}}))
    assert runs.build(1, 2) == [Kept(1), Kept(2)]
    assert runs.ran == ["first", "second", "first"]
