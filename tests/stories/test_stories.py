"""docs/stories, typed in and touched: commands run, files written, pages used as they say.

The pictures are made anew with EDGE_APP_STORY_PICTURES=docs/images/stories; look at each of them.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

import pytest
from support.story_player import PICTURES, ROOT, Player, environment
from support.story_steps import Step, matches, set_keys, steps_of

FOLDER = ROOT / "docs" / "stories"
NAMES = ("engineers_first_day", "operators_shift", "quality_managers_monday", "it_integration")
EVERY_RUN = ("operators_shift",)
LONG = ("learning_from_marks", "from_marks_to_the_line")
"""They build bundles, which takes minutes."""

SURE = 0.042
"""Share of good parts that the first bundle promises, 95 % sure, to stop at most."""


def story(name: str) -> list[Step]:
    return list(steps_of((FOLDER / f"{name}.md").read_text(encoding="utf-8")))


def played(name: str, folder: Path, command_s: float = 600, log_s: float = 60) -> Player:
    """Do every step of a story."""
    with contextlib.ExitStack() as stack:
        player = Player(folder, stack, command_s, log_s)
        for step in story(name):
            player.play(step)
    return player


@pytest.mark.needs("chromium", "mosquitto", "openssl")
@pytest.mark.parametrize(
    "name", [n if n in EVERY_RUN else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_what_a_story_says_happens(name: str, tmp_path: Path) -> None:
    """Each command prints what is shown, each touch finds its button, each page what it names."""
    player = played(name, tmp_path / "story")
    assert len(player.taken) >= 4


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.needs("chromium", "mosquitto", "the extra train")
def test_marks_are_learnt_from_and_a_model_that_forgets_defects_is_stopped(tmp_path: Path) -> None:
    """Mark, accept, pull, build, sign, try on old parts: as the story says."""
    player = played(LONG[0], tmp_path / "story", command_s=3000, log_s=600)
    assert len(player.taken) == 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.needs("chromium", "mosquitto", "the extra train")
def test_marks_bring_false_alarms_down_and_the_new_model_stays(tmp_path: Path) -> None:
    """The whole loop: mark, pull, build, sign, parts of today, push, probation, new parts."""
    folder = tmp_path / "story"
    player = played(LONG[1], folder, command_s=1800, log_s=900)
    assert len(player.taken) == 3
    before, after = (json.loads(last_line(folder / f"{n}.txt")) for n in ("before", "after"))
    assert before["false_alarm_rate"] > SURE > after["false_alarm_rate"]
    assert after["caught"] > 0.9 * before["caught"] > 200


def last_line(file: Path) -> str:
    return file.read_text(encoding="utf-8").splitlines()[-1]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.needs("the extra train")
def test_the_engineers_pictures_make_a_bundle(tmp_path: Path) -> None:
    """The build that the story only describes: its own line, on the pictures that it records."""
    text = (FOLDER / "engineers_first_day.md").read_text(encoding="utf-8")
    record = next(step.what for step in story("engineers_first_day") if "record" in step.what)
    (build,) = [line.strip() for line in text.splitlines() if line.startswith("    edge-export")]
    variables = environment(tmp_path)
    for command in (record, build, "edge-app inspect data/train/good --bundle product.bundle"):
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=variables,
            capture_output=True, text=True, timeout=3000, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert (tmp_path / "product.bundle").stat().st_size > 1_000_000


def test_every_story_is_here_with_its_pictures() -> None:
    """The documents are those that are played, and no picture is missing or left over."""
    assert {file.stem for file in FOLDER.glob("*.md")} == {*NAMES, *LONG}
    named = {
        step.what for name in (*NAMES, *LONG) for step in story(name) if step.kind == "picture"
    }
    assert {file.stem for file in PICTURES.glob("*.jpg")} == named
    assert all(file.stat().st_size < 200_000 for file in PICTURES.glob("*.jpg"))


def test_steps_are_read_from_the_words() -> None:
    """What the tests above stand on: each form of words is one step, in order."""
    text = (
        "1. **At the desk** open `http://localhost:8080/` and touch **Log in**, type `eva` into\n"
        "   **Name**, choose `NG` in **Verdict**, move **Limit** by `-3`; wait for **TAKE OUT**\n\n"
        "   ```console\n   $ true\n   $ echo a\n   a ...\n   ```\n\n"
        "   ![p](../images/stories/a_b.jpg) Into `x.toml`:\n\n```toml\na = 1\n```\n"
        "until `run.log` says `live page`"
    )
    assert [(step.kind, step.what, step.text) for step in steps_of(text)] == [
        ("where", "At the desk", ""), ("open", "http://localhost:8080/", ""),
        ("touch", "Log in", ""), ("type", "Name", "eva"), ("choose", "Verdict", "NG"),
        ("slide", "Limit", "-3"), ("wait", "TAKE OUT", ""), ("command", "true", ""),
        ("command", "echo a", "a ..."), ("picture", "a_b", ""), ("file", "x.toml", "a = 1\n"),
        ("log", "run.log", "live page"),
    ]  # fmt: skip


def test_output_that_differs_is_noticed() -> None:
    assert matches("a ... c", "a b\nb c\n")
    assert not matches("a ... c", "a b")
    assert matches("", "anything")


def test_keys_are_set_in_their_table() -> None:
    config = "[a]\nkey = 1\n[b]\n# key = 2\n"
    assert set_keys(config, "[b]\nkey = 3\n") == "[a]\nkey = 1\n[b]\nkey = 3\n"
    with pytest.raises(AssertionError, match="no other"):
        set_keys(config, "[b]\nother = 3\n")
