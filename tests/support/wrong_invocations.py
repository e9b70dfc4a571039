"""Wrong invocations of a command line, generated from its own parser."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NUMBERS = ("x", "", "nan", "inf", "-inf", "-1e99", "1e999", "9" * 5000, "0x10", "--", "½")
TEXTS = ("", " ", "../x", "a b\n", "\x1b[31m", "ü" * 300, "-", "#+", "{}")
ADDRESSES = ("nonsense", "folder:", "folder:GONE", "video:GARBAGE", "video:FOLDER", "sim:nothing",
             "sim:tapered?parts=x", "folder:FOLDER?lop=1", "watch:GARBAGE")  # fmt: skip
INPUTS = (
    "GONE",
    "FOLDER",
    "GARBAGE",
    "EMPTY",
    "TEXT",
    "ZEROS",
    "TRUNCATED",
    "GARBAGE/in",
    "L" * 300,
    "/dev/zero",
    "PIPE",
)
OUTPUTS = ("GARBAGE/out", "FOLDER", "/proc/out", "/dev/full", "L" * 300)
MISTYPED = ("runn", "--hlep", "--verison", "x" * 500)

REFUSED = {"--keys": "GONE", "--bundle": "GONE"}
"""Given to commands that would otherwise do long work where one value is not wrong after all."""

LIMITS = {"--seconds": "0.2", "--timeout-s": "0.05", "--count": "1", "--parts": "1"}
"""Given to every command that has them: nothing waits for ever."""


@dataclass(frozen=True, slots=True)
class Files:
    """Things to name in a folder, by the words above."""

    folder: Path

    @classmethod
    def written(cls, folder: Path, bundle: Path) -> Files:
        """Write them; `bundle` is cut in half for TRUNCATED."""
        contents = {
            "GARBAGE": bytes(range(256)) * 40,
            "EMPTY": b"",
            "TEXT": b"# A readme\n" * 100,
            "ZEROS": bytes(20_480),
            "TRUNCATED": bundle.read_bytes()[:100_000],
        }
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        (folder / "FOLDER").mkdir()
        os.mkfifo(folder / "PIPE")
        return cls(folder)

    def named(self, word: str) -> str:
        """Return a word with the names in it made paths."""
        for name in ("GONE", "FOLDER", "GARBAGE", "EMPTY", "TEXT", "ZEROS", "TRUNCATED", "PIPE"):
            word = word.replace(name, str(self.folder / name))
        return word if not word.startswith("LLL") else str(self.folder / word)


def leaves(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Yield (words, parser) of every command that does something by itself."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner or not inner[0].required:
        yield words, parser
    for word, child in itertools.chain.from_iterable(a.choices.items() for a in inner):
        yield from leaves(child, (*words, word))


def wrong_invocations(
    words: tuple[str, ...], parser: argparse.ArgumentParser
) -> Iterator[list[str]]:
    """Yield command lines, each wrong in one way at least, the rest naming what is not there."""
    actions = [a for a in parser._actions if _is_argument(a)]
    for action in actions:
        for value in _values(action):
            yield [*words, *_line(actions, action, value)]
    for word in MISTYPED:
        yield [*words, *_line(actions), word]
        yield [*words[:-1], word]
    if any(_is_required(a) for a in actions):
        yield list(words)


def _is_argument(action: argparse.Action) -> bool:
    kinds = (argparse._HelpAction, argparse._VersionAction, argparse._SubParsersAction)
    return not isinstance(action, kinds)


def _is_required(action: argparse.Action) -> bool:
    return action.required or (not action.option_strings and action.nargs != "?")


def _line(
    actions: list[argparse.Action], changed: argparse.Action | None = None, value: str = ""
) -> list[str]:
    """Return all that is required, the waits' limits, and one argument as it is to be tried."""
    line: list[str] = []
    for action in actions:
        option = action.option_strings[-1:] if action.option_strings else []
        if action is changed:
            line += _given(option, value, action)
        elif _is_required(action):
            line += _given(option, _plain(action), action)
        elif option and action.option_strings[0] in LIMITS | REFUSED:
            line += [*option, (LIMITS | REFUSED)[action.option_strings[0]]]
        elif option == ["--device"] and action.default == "cpu":
            line += [*option, "cuda:99"]  # where to train: nowhere
    return line


def _given(option: Sequence[str], value: str, action: argparse.Action) -> list[str]:
    if action.nargs == 0:
        return list(option)
    return [f"{option[0]}={value}"] if option else [value]


def _values(action: argparse.Action) -> tuple[str, ...]:
    if action.nargs == 0:
        return ("",)
    if action.choices is not None:
        return ("", "nothing", str(next(iter(action.choices)))[:-1])
    if action.type is Path:
        return OUTPUTS if _is_output(action) else INPUTS
    if _is_address(action):
        return ADDRESSES
    return NUMBERS if action.type is not None else TEXTS


def _plain(action: argparse.Action) -> str:
    """Return a value of the right kind that names nothing there is."""
    if action.choices is not None:
        return str(next(iter(action.choices)))
    if action.type is Path:
        return "GONE/out" if _is_output(action) else "GONE"
    if action.dest == "broker":
        return "127.0.0.1:1"
    if action.dest == "corners":
        return "9x6"
    if action.dest == "device":
        return "a/b/c"
    if _is_address(action):
        return "folder:GONE"
    return "1"


def _is_output(action: argparse.Action) -> bool:
    return action.dest in ("out", "outcome", "evidence", "state")


def _is_address(action: argparse.Action) -> bool:
    return action.dest in ("camera", "source", "held_out")
