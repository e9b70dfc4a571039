"""No wrong invocation of any command shows a person a traceback: hundreds, generated."""

from __future__ import annotations

import argparse
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.kept_parsers import MODULES, kept_parsers
from support.wrong_invocations import Files, leaves, wrong_invocations

import edge_app
from edge_app import __version__

SHIPPED = Path(edge_app.__file__).parent / "assets" / "demo-tapered.bundle"

COMMANDS = {
    " ".join((name, *words)): (name, words, parser)
    for name, module in MODULES.items()
    for words, parser in leaves(module._parser())
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files.written(tmp_path_factory.mktemp("files"), SHIPPED)


@pytest.fixture(autouse=True)
def _as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands take signals and write beside them: both end here."""
    monkeypatch.chdir(tmp_path)
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


def run(main: Callable[[list[str]], int], words: list[str]) -> int:
    """Return the exit code; anything but SystemExit comes out as a failure of the test."""
    try:
        return int(main(words))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_use_is_a_sentence(
    command: str, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, 1 or 2; a code that is not 0 comes with words, and none with a traceback."""
    name, words, parser = COMMANDS[command]
    tried = list(wrong_invocations(words, parser))
    for line in tried:
        named = [files.named(word) for word in line]
        with kept_parsers():
            code = run(MODULES[name].main, named)
        told = capsys.readouterr()
        assert code in (0, 1, 2), (named, told.err)
        assert code == 0 or (told.err + told.out).strip(), named
        assert "Traceback" not in told.err + told.out, named
        assert "\r" not in told.err + told.out, named
    assert len(tried) >= 8


def test_there_are_hundreds() -> None:
    """More than the 200 that were asked for, over all commands."""
    counts = dict.fromkeys(MODULES, 0)
    for name, words, parser in COMMANDS.values():
        counts[name] += len(list(wrong_invocations(words, parser)))
    assert min(counts.values()) >= 50
    assert sum(counts.values()) >= 1000


@pytest.mark.parametrize("name", MODULES)
def test_every_command_tells_its_version(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(MODULES[name].main, ["--version"]) == 0
    assert capsys.readouterr().out == f"{name} {__version__}\n"


@pytest.mark.parametrize(
    ("name", "words", "nearest"),
    [
        ("edge-app", ["runn"], "run"),
        ("edge-app", ["camera", "lst"], "list"),
        ("edge-app", ["doctor", "--jsn"], "--json"),
        ("edge-calibrate", ["threshold", "x"], "thresholds"),
        ("edge-deploy", ["stauts"], "status"),
        ("edge-export", ["biuld"], "build"),
        ("edge-export", ["build", "--dta", "x"], "--data"),
        ("edge-deploy", ["push", "--brokr=x"], "--broker"),
    ],
)
def test_the_nearest_word_is_named(
    name: str, words: list[str], nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(MODULES[name].main, words) == 2
    assert f"(did you mean {nearest!r}?)" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_numbers_have_ranges(command: str) -> None:
    """A number's own type refuses what is no number and what is out of all proportion."""
    _, _, parser = COMMANDS[command]
    for action in parser._actions:
        assert action.type not in (int, float), (command, action.option_strings)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_that_its_parser_takes(command: str) -> None:
    """Shown as it would be typed; each begins with the command's own name."""
    name, words, parser = COMMANDS[command]
    found = re.findall(rf"^  ({re.escape(command)}(?: .*)?)$", parser.epilog or "", re.MULTILINE)
    assert found, parser.prog
    for line in found:
        typed = line.partition(" > ")[0].split()[1:]
        parsed = MODULES[name]._parser().parse_args(typed)
        assert isinstance(parsed, argparse.Namespace)
        assert typed[: len(words)] == list(words)
