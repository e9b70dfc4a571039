"""The next picture's products, found in a thread of their own while the one in hand is inspected.

Detector and inspector are two graphs, so that two pictures can be in work at once: on two cores a
waiting picture costs only the longer of the two. Nothing else changes: pictures are judged in the
order in which they were taken, by the thread that judges them anyway, and at most one is ahead.
"""

from __future__ import annotations

import os
import queue
import threading
from dataclasses import dataclass, field

from edge_app.inspection.line import Found, InspectionLine
from edge_app.records import Frame


@dataclass(slots=True, eq=False)
class FindJob:
    """One frame whose products are looked for.

    Attributes:
        line: whose detector looks; what it finds is of no use to another line.
    """

    line: InspectionLine
    frame: Frame
    _done: threading.Event = field(default_factory=threading.Event)
    _found: Found | None = None
    _error: Exception | None = None

    def run(self) -> None:
        """Look; whatever happens is kept for `result`."""
        try:
            self._found = self.line.find(self.frame)
        except Exception as error:  # raised again where the frame is judged
            self._error = error
        finally:
            self._done.set()

    def result(self) -> Found | None:
        """Wait for what was found.

        Raises:
            EdgeError: as `InspectionLine.find` does.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        return self._found

    def wait(self) -> None:
        """Return once it is known what there is, or that looking failed."""
        self._done.wait()


class FindAhead:
    """A thread that finds; it starts with the first job, and holds nothing up when it hangs.

    Only the inspection thread calls it, one job at a time, and settles before it calls a line's own
    `find` or lets a model change: a detector still belongs to one thread at a time.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[FindJob | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._last: FindJob | None = None

    def begin(self, line: InspectionLine, frame: Frame) -> FindJob:
        """Have a frame's products looked for; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="find-ahead", daemon=True)
            self._thread.start()
        self._last = job = FindJob(line, frame)
        self._jobs.put(job)
        return job

    def settle(self) -> None:
        """Return when no job is in hand: every detector is free."""
        if self._last is not None:
            self._last.wait()
            self._last = None

    def close(self) -> None:
        """Let the thread end after the job in hand; does not wait for it."""
        self._jobs.put(None)

    def _run(self) -> None:
        while self._run_one():
            pass

    def _run_one(self) -> bool:
        """Run the next job; once it is done nothing here holds its picture."""
        job = self._jobs.get()
        if job is not None:
            job.run()
        return job is not None


def has_core_to_spare() -> bool:
    """Tell whether this process may use two cores or more."""
    return len(os.sched_getaffinity(0)) > 1
