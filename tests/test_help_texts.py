"""Every command and every argument explains itself in `--help`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

import calibration.cli.main
import deploy.cli.main
import edge_app.cli.main
import export.cli.main

PARSERS = {
    "edge-app": edge_app.cli.main._parser,
    "edge-export": export.cli.main._parser,
    "edge-calibrate": calibration.cli.main._parser,
    "edge-deploy": deploy.cli.main._parser,
}


def commands_of(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, object]]:
    """Yield every command of a parser, sub-commands included, with its words."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from commands_of(f"{name} {word}", inner)


COMMANDS = dict(c for name, parser in PARSERS.items() for c in commands_of(name, parser()))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_what_it_does(command: str) -> None:
    """Its own --help has a sentence, and formatting it fails nowhere."""
    parser = COMMANDS[command]
    assert isinstance(parser, argparse.ArgumentParser)
    assert parser.description
    assert parser.description.splitlines()[0].endswith(".")
    assert parser.format_help()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_is_explained_with_its_default(command: str) -> None:
    """No argument without a text; an option with a default says `(default: ...)`."""
    parser = COMMANDS[command]
    assert isinstance(parser, argparse.ArgumentParser)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        assert action.help, action.dest
        is_set = action.default not in (None, False, argparse.SUPPRESS)
        if action.option_strings and is_set:
            assert "(default: " in action.help, action.option_strings
