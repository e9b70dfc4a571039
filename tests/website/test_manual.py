"""Man pages and completion: made from the parsers, so that they cannot be behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.needs import require

require("the extra docs")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools" / "site"))
import commands
import manual

ASK = """
source "$1"
COMP_WORDS=({words})
COMP_CWORD={last}
_shtab_edge_app edge-app {word} {before}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize("program", commands.PROGRAMS)
def test_a_man_page_has_every_command_and_option(program: str) -> None:
    """With a sentence that `whatis` finds; hyphens are written as roff wants them."""
    page = manual.man_page(program)
    assert page.startswith(".TH ")
    assert "{} \\- ".format(program.replace("-", "\\-")) in page
    for parser in commands.commands_of(commands.parser_of(program)):
        assert parser.prog.split()[-1].replace("-", "\\-") in page
        for action in parser._actions[1:]:  # --help is everywhere
            for option in action.option_strings:
                assert option.replace("-", "\\-") in page, (parser.prog, option)


def test_all_files_lie_where_they_are_looked_for(tmp_path: Path) -> None:
    """Four commands, a page and three shells each; pyproject.toml ships the same folders."""
    written = manual.write_manual(tmp_path / "share")
    assert len(written) == len(set(written)) == 16
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for file in written:
        folder = file.parent.relative_to(tmp_path).as_posix()
        assert f'"{folder}" = ["{folder}/*"]' in project


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("edge-app cam", {"camera"}),
        ("edge-app camera rec", {"record"}),
        ("edge-app camera record --int", {"--interval-s"}),
    ],
)
def test_bash_completes_commands_and_options(tmp_path: Path, words: str, offered: set[str]) -> None:
    """As bash asks it after the tabulator."""
    file = tmp_path / "edge-app"
    file.write_text(manual.completion("edge-app", "bash"))
    *_, before, word = words.split()
    script = ASK.format(words=words, last=len(words.split()) - 1, word=word, before=before)
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(file)],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert set(done.stdout.split()) == offered


def test_where_a_path_is_expected_files_are_offered() -> None:
    """`edge-app run --config` completes files; `--seconds` does not."""
    text = manual.completion("edge-app", "bash")
    assert "_shtab_edge_app_run___config_COMPGEN=_shtab_compgen_files" in text
    assert "___seconds_COMPGEN" not in text
