"""Options of a group of verbs, such as `slots --config FILE select part-b`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from deploy.cli.main import _parser as deploy_parser
from edge_app.cli.main import _parser as device_parser
from export.cli.main import _parser as export_parser

HELP = {"-h", "--help"}


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings} - HELP


def groups_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield commands that have verbs of their own."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                if any(isinstance(a, argparse._SubParsersAction) for a in command._actions):
                    yield command


GROUPS = [g for make in (device_parser, export_parser, deploy_parser) for g in groups_of(make())]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.prog)
def test_an_option_of_the_group_is_taken_behind_the_verb_too(
    group: argparse.ArgumentParser,
) -> None:
    """People type options last."""
    for action in group._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                assert options_of(group) <= options_of(verb), verb.prog


def test_the_place_of_the_option_does_not_matter() -> None:
    """And a verb without it leaves what stands before the verb."""
    parser = device_parser()
    for typed in ("slots --config a promote", "slots promote --config a"):
        assert str(parser.parse_args(typed.split()).config) == "a"
    assert parser.parse_args(["slots", "promote"]).config is None
