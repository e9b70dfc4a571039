"""What a build's progress shows of people's names."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from export.cli.progress import ConsoleProgress


@pytest.mark.parametrize("is_terminal", [False, True])
def test_names_with_brackets_are_shown_as_they_are(is_terminal: bool) -> None:
    """A folder `[/NG] [red]` ended in a MarkupError; a long name is not broken into lines."""
    file = io.StringIO()
    width = 400 if is_terminal else 40
    console = Console(file=file, force_terminal=is_terminal, width=width)
    text = "30 good parts from plant/[/NG] [red]/a rather long name of a folder of good parts"
    with ConsoleProgress(console) as progress:
        progress.show("pictures", text, 1.0)
    assert text in file.getvalue()
