"""Man pages and what shells complete, from the commands' parsers: `make man` runs it.

    python tools/site/manual.py FOLDER

writes FOLDER/man/man1/COMMAND.1, and for bash, zsh and fish the files where each looks for them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import shtab
from argparse_manpage.manpage import Manpage
from commands import PROGRAMS, commands_of, parser_of

from edge_app import __version__

PLACES = {
    "bash": "bash-completion/completions/{0}",
    "fish": "fish/vendor_completions.d/{0}.fish",
    "zsh": "zsh/site-functions/_{0}",
}
"""Shell → file below share/."""


def write_manual(share: Path) -> list[Path]:
    """Write every file below `share` and return them."""
    written: list[Path] = []
    for program in PROGRAMS:
        texts = {share / "man" / "man1" / f"{program}.1": man_page(program)}
        texts |= {share / place.format(program): completion(program, shell)
                  for shell, place in PLACES.items()}  # fmt: skip
        for file, text in texts.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        written += texts
    return written


def man_page(program: str) -> str:
    """Return a command's page for `man`, its sub-commands included."""
    parser = parser_of(program)
    about = {
        "authors": ["The CropLiq Edge maintainers"],
        "description": str(parser.description).rstrip("."),
        "manual_section": 1,
        "manual_title": "CropLiq Edge",
        "prog": program,
        "project_name": program,
        "version": __version__,
    }
    return str(Manpage(parser, about))


def completion(program: str, shell: str) -> str:
    """Return a shell's completion of a command; where a path is expected, files are offered."""
    parser = parser_of(program)
    for command in commands_of(parser):
        for action in command._actions:
            if action.type is Path and not isinstance(action, argparse._SubParsersAction):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell=shell))


if __name__ == "__main__":
    for path in write_manual(Path(sys.argv[1])):
        print(path)
