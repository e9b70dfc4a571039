"""A page for each of the four commands, made from its argparse parser."""

from __future__ import annotations

import argparse
import importlib
import os
import re
from collections.abc import Iterator

PROGRAMS = {
    "edge-app": "edge_app.cli.main",
    "edge-export": "export.cli.main",
    "edge-calibrate": "calibration.cli.main",
    "edge-deploy": "deploy.cli.main",
}
"""Command → module with its `_parser()`."""

WIDTH = "100"
"""Columns of a usage line: argparse asks the environment."""


def parser_of(program: str) -> argparse.ArgumentParser:
    """Return a command's parser."""
    parser: argparse.ArgumentParser = importlib.import_module(PROGRAMS[program])._parser()
    return parser


def commands_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its sub-commands, depth first, each once."""
    yield parser
    seen = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                if id(inner) not in seen:
                    seen.add(id(inner))
                    yield from commands_of(inner)


def page_of(program: str) -> str:
    """Return a command's page in Markdown: each sub-command with usage, options and examples."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        return "\n".join(_section(parser) for parser in commands_of(parser_of(program)))
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


def _section(parser: argparse.ArgumentParser) -> str:
    depth = "#" * min(4, len(parser.prog.split()))
    lines = [f"{depth} {parser.prog}", "", _text(parser.description or ""), ""]
    lines += _block(parser.format_usage().removeprefix("usage: "))
    lines += _table("Argument", [a for a in _listed(parser) if not a.option_strings])
    lines += _table("Option", [a for a in _listed(parser) if a.option_strings])
    lines += _sub_commands(parser)
    if parser.epilog:
        formatter = parser._get_formatter()
        formatter.add_text(parser.epilog)
        lines += _block(formatter.format_help())
    return "\n".join(lines)


def _listed(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    left_out = (argparse._SubParsersAction, argparse._HelpAction)
    actions = [a for a in parser._actions if not isinstance(a, left_out)]
    return [a for a in actions if a.help != argparse.SUPPRESS]


def _table(title: str, actions: list[argparse.Action]) -> list[str]:
    rows = [f"| {_words(a)} | {_text(_help(a))} |" for a in actions]
    return [f"| {title} | Meaning |", "|---|---|", *rows, ""] if rows else []


def _words(action: argparse.Action) -> str:
    """Return how an action is written, e.g. `--out FILE`."""
    formatter = argparse.HelpFormatter(prog="")
    value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    if not action.option_strings:
        value = formatter._format_args(
            action, formatter._get_default_metavar_for_positional(action)
        )
        return f"`{value}`"
    return ", ".join(f"`{f'{option} {value}'.strip()}`" for option in action.option_strings)


def _help(action: argparse.Action) -> str:
    values = {**vars(action), "prog": ""}
    if action.choices is not None:
        values["choices"] = ", ".join(map(str, action.choices))
    return (action.help or "") % values


def _sub_commands(parser: argparse.ArgumentParser) -> list[str]:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                prog = f"{parser.prog} {choice.dest}"
                anchor = prog.replace(" ", "-")
                rows.append(f"| [`{prog}`](#{anchor}) | {_text(choice.help or '')} |")
    return ["| Command | Meaning |", "|---|---|", *rows, ""] if rows else []


def _text(text: str) -> str:
    """Return text in which Markdown sees no marks of its own."""
    plain = re.sub(r"\s+", " ", text).strip()
    parts = re.split(r"(`[^`]*`)", plain)
    return "".join(
        p if p.startswith("`") else re.sub(r"([\\*_<>|\[\]])", r"\\\1", p) for p in parts
    )


def _block(text: str) -> list[str]:
    return ["```text", text.strip("\n"), "```", ""]
