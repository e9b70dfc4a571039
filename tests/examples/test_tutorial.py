"""The tutorials in docs/, typed in: its files written, its commands run, its output compared."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.plugin_packages import python_beside

ROOT = Path(__file__).parents[2]
TUTORIALS = {"tutorial_camera.md": "camera_plugin", "tutorial_method.md": "method_plugin"}
"""Document in docs/ → the package in examples/ that a reader has in the end."""

LEFT = {"tutorial_camera.md": "now.png", "tutorial_method.md": "part.bundle"}
OWN_DATA = {"pictures.py"}
"""Written on the way, and no part of a package."""

FENCE = re.compile(r"(?P<before>[^\n]*)\n\n```(?P<kind>\w+)[^\n]*\n(?P<body>.*?)\n```", re.DOTALL)
INTO = re.compile(r"Into `([^`]+)`:$")


@dataclass(frozen=True)
class Step:
    """A file to write, or a command with what it prints."""

    file: str = ""
    command: str = ""
    text: str = ""


def steps_of(document: str) -> Iterator[Step]:
    """Yield what a reader does, in order; a block that is neither is only looked at."""
    for found in FENCE.finditer(document):
        into = INTO.search(found["before"])
        if found["kind"] == "console":
            for typed in re.split(r"^\$ ", found["body"], flags=re.MULTILINE)[1:]:
                command, _, printed = typed.partition("\n")
                yield Step(command=command, text=printed.strip())
        elif into:
            yield Step(file=into[1], text=found["body"] + "\n")


STEPS = {
    name: list(steps_of((ROOT / "docs" / name).read_text(encoding="utf-8"))) for name in TUTORIALS
}


def matches(shown: str, printed: str) -> bool:
    """Whether a command printed what the document shows; `...` stands for anything."""
    pattern = ".*".join(re.escape(piece) for piece in shown.split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


COMMANDS = {"edge-app": "edge_app.cli.main", "edge-export": "export.cli.main", "pip": "pip"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the variables of a shell in an environment like the reader's, without a network."""
    folder = tmp_path_factory.mktemp("tutorial") / "venv"
    python, _ = python_beside(folder)
    for name, words in COMMANDS.items():
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec "{python}" -m {words} "$@"\n')
        command.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's word for "build with the setuptools that is here"
        "PIP_NO_INDEX": "1",
        "COLUMNS": "200",
    }


@pytest.mark.needs("the extra train")  # which brings setuptools and pip's place in this environment
@pytest.mark.timeout(900)  # builds two bundles
@pytest.mark.parametrize(
    "tutorial",
    ["tutorial_camera.md", pytest.param("tutorial_method.md", marks=pytest.mark.slow)],
)
def test_what_the_tutorial_says_happens(
    tutorial: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Each file is written, each command prints what is shown; no traceback anywhere."""
    here = tmp_path
    for step in STEPS[tutorial]:
        if step.file:
            (here / step.file).write_text(step.text, encoding="utf-8")
        elif step.command.startswith("cd "):
            here /= step.command.removeprefix("cd ")
        else:
            done = subprocess.run(
                ["sh", "-c", step.command],
                cwd=here, env=environment, capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            printed = done.stdout + done.stderr
            assert matches(step.text, printed), f"{step.command}\n{printed}"
    assert (here / LEFT[tutorial]).stat().st_size > 0


@pytest.mark.parametrize("tutorial", TUTORIALS)
def test_the_tutorial_writes_the_example(tutorial: str) -> None:
    """The package in examples/ is what a reader has in the end, byte for byte."""
    finished = ROOT / "examples" / TUTORIALS[tutorial]
    files = {step.file: step.text for step in STEPS[tutorial] if step.file}
    written = {name: text for name, text in files.items() if name not in OWN_DATA}
    assert len(written) == 3
    assert {name: (finished / name).read_text(encoding="utf-8") for name in written} == written


def test_output_that_differs_is_noticed() -> None:
    """What the comparison stands on."""
    assert matches("a ... c", "a b\nb c\n")
    assert not matches("a ... c", "a b")
    assert not matches("", "Traceback")
    assert all(sum(bool(step.command) for step in steps) >= 8 for steps in STEPS.values())
