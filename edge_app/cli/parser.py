"""The arguments of all four commands: one parser class, and numbers with their ranges."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from edge_app import __version__
from edge_app.errors import nearest_of
from edge_app.host.process_title import hide_arguments
from edge_app.secret_text import has_secret, learn, mask

Number = Callable[[str], Any]

ANY_PORT = 65535
YEAR_S = 366 * 86400.0
"""No wait of a command is longer."""


class CommandParser(argparse.ArgumentParser):
    """An argument parser that names the nearest known word for a mistyped one.

    Sub-commands are of the same class. The top one has `--version`.
    """

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse what this command does not know, with its own usage and the nearest option."""
        words = list(sys.argv[1:] if args is None else args)
        values = [w.partition("=")[2] if w.startswith("--") else w for w in words]
        secret = [value for value in values if has_secret(value)]
        for word in secret:
            learn(word)
        if args is None:
            hide_arguments(secret)
        if any("\0" in word for word in words):
            self.error("an argument holds a zero byte, which no name and no number can.")
        if unknown := self._unknown_options(words):
            self._refuse(unknown)  # before what is missing: it may be what was mistyped
        found, rest = super().parse_known_args(words, namespace)
        if rest:
            self._refuse(rest)
        return found, rest

    def _unknown_options(self, words: Sequence[str]) -> list[str]:
        """Return long options that are none of this command's, nor the beginning of one."""
        if any(isinstance(action, argparse._SubParsersAction) for action in self._actions):
            return []
        names = [word.partition("=")[0] for word in words if " " not in word]
        end = names.index("--") if "--" in names else len(names)
        known = self._option_strings()
        return [
            name
            for name in names[:end]
            if name.startswith("--") and not any(option.startswith(name) for option in known)
        ]

    def _refuse(self, words: Sequence[str]) -> NoReturn:
        known = self._option_strings()
        told = (f"{word}{nearest_of(word.partition('=')[0], known)}" for word in words)
        self.error(f"unrecognized arguments: {' '.join(told)}")

    def _option_strings(self) -> tuple[str, ...]:
        return tuple(o for action in self._actions for o in action.option_strings)

    def error(self, message: str) -> NoReturn:
        """End with a usage error; passwords in what was given are not repeated."""
        super().error(mask(message))

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Refuse a lone `--` in the place of a value, of which argparse makes an empty list."""
        if action.nargs is None and arg_strings == ["--"]:
            raise argparse.ArgumentError(action, "expected one argument, got '--'")
        return super()._get_values(action, arg_strings)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = tuple(str(choice) for choice in action.choices)
            raise argparse.ArgumentError(
                action,
                f"invalid choice: {value!r}{nearest_of(str(value), known)}. Expected one of: "
                f"{', '.join(known)}",
            )


def top_parser(prog: str, description: str, examples: Iterable[str]) -> CommandParser:
    """Return a command's parser with --version and examples.

    Args:
        examples: whole command lines, shown at the end of --help.
    """
    parser = CommandParser(
        prog=prog,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=as_epilog(examples),
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"{prog} {__version__}",
        help="print the version and exit",
    )
    return parser


def as_epilog(examples: Iterable[str]) -> str:
    """Return command lines as the end of a --help in which lines are kept."""
    return "\n".join(("examples:", *(f"  {line}" for line in examples)))


def set_examples(parser: argparse.ArgumentParser, *examples: str) -> None:
    """Show whole command lines at the end of a sub-command's --help, behind what is there."""
    before = f"{parser.epilog}\n\n" if parser.epilog else ""
    parser.epilog = before + as_epilog(examples)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def add_command(
    commands: argparse._SubParsersAction[Any], name: str, about: str, *examples: str
) -> argparse.ArgumentParser:
    """Add a sub-command whose own --help begins with the sentence of the list."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}."
    )
    if examples:
        set_examples(parser, *examples)
    return parser


def whole(least: int, most: int = 2**31 - 1) -> Number:
    """Return a type for whole numbers of that range, ends included."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {least} to {most}, got {_short(text)}"
            )
        return value

    return number


def real(least: float, most: float, above: bool = False, below: bool = False) -> Number:
    """Return a type for decimal numbers of that range.

    Args:
        above: the least itself is not allowed; below: nor is the most.
    """
    low = f"more than {least:g}" if above else f"at least {least:g}"
    high = f"less than {most:g}" if below else f"at most {most:g}"

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        inside = (value > least if above else value >= least) and (
            value < most if below else value <= most
        )
        if not inside:
            raise argparse.ArgumentTypeError(
                f"expected a number, {low} and {high}, got {_short(text)}"
            )
        return value

    return number


def text(most: int) -> Number:
    """Return a type for a name of 1 to `most` printable characters."""

    def name(word: str) -> str:
        if not 1 <= len(word) <= most or not word.isprintable():
            raise argparse.ArgumentTypeError(
                f"expected a name of 1 to {most} printable characters, got {_short(word)}"
            )
        return word

    return name


def seconds() -> Number:
    """Return a type for a time in seconds, more than 0, at most a year."""
    return real(0.0, YEAR_S, above=True)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
