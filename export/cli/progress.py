"""Where a build is: a bar per step on a terminal, a line per step and tenth elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class ConsoleProgress:
    """Shows steps as they come; use as a context manager.

    Texts hold names of people's folders: `[...]` in them is no markup.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.fields[step]:<12}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}

    def __enter__(self) -> ConsoleProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def show(self, step: str, text: str, share: float) -> None:
        """Move a step's bar; plain output gets a line for every tenth."""
        if self._console.is_terminal:
            if step not in self._tasks:
                self._tasks[step] = self._bars.add_task(text, total=1.0, step=step)
            self._bars.update(self._tasks[step], completed=share, description=text)
            return
        tenth = int(share * 10)
        if self._tenths.get(step) != tenth:
            self._tenths[step] = tenth
            self._console.print(
                f"{step:<12} {share:>4.0%} {text}", highlight=False, markup=False, soft_wrap=True
            )
