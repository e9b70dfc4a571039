"""The next picture's products, found in a thread of their own while the one in hand is inspected.

Detector and inspector are two graphs, so that two pictures can be in work at once: on two cores a
waiting picture costs only the longer of the two. Nothing else changes: pictures are judged in the
order in which they were taken, by the thread that judges them anyway, and at most one is ahead.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import traceback
from concurrent.futures import Future
from dataclasses import dataclass

from edge_app.inspection.line import Found, InspectionLine
from edge_app.records import Frame

_log = logging.getLogger(__name__)

END_S = 2.0
"""`close` gives a detector this long to come to its end; one that hangs keeps no process."""


@dataclass(slots=True, eq=False)
class FindJob:
    """One frame whose products are looked for. Holds neither the frame nor, once asked, an error.

    Attributes:
        line: whose detector looks; what it finds is of no use to another line.
    """

    line: InspectionLine
    _answer: Future[Found] | None

    def result(self) -> Found | None:
        """Wait for what was found; to be asked once.

        Raises:
            EdgeError: as `InspectionLine.find` does.
        """
        answer, self._answer = self._answer, None
        try:
            return None if answer is None else answer.result()
        finally:
            del answer  # an error keeps this frame, and the picture's where it is judged


class FindAhead:
    """A thread that finds; it starts with the first job.

    Only the inspection thread calls it, one job at a time, and settles before it calls a line's own
    `find` or lets a model change: a detector still belongs to one thread at a time.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[InspectionLine, Frame, Future[Found]] | None]
        self._jobs = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._last: Future[Found] | None = None

    def begin(self, line: InspectionLine, frame: Frame) -> FindJob | None:
        """Have a frame's products looked for; returns at once. None: there is no thread for it."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="find-ahead", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:  # no more threads, or no memory for one
                _log.warning("the next picture is not looked at ahead: %s", error)
                return None
            self._thread = thread
        self._last = answer = Future[Found]()
        self._jobs.put((line, frame, answer))
        return FindJob(line, answer)

    def settle(self) -> None:
        """Return when no job is in hand: every detector is free."""
        if self._last is not None:
            self._last.exception()  # waits; who asks for the result gets it
            self._last = None

    def close(self) -> None:
        """End the thread after the job in hand, as long as it takes no more than END_S."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(END_S)

    def _run(self) -> None:
        while self._run_one():
            pass

    def _run_one(self) -> bool:
        """Run the next job; once it is done nothing here holds its picture."""
        job = self._jobs.get()
        if job is None:
            return False
        line, frame, answer = job
        del job
        try:
            answer.set_result(line.find(frame))
        except Exception as error:  # raised again where the frame is judged
            traceback.clear_frames(error.__traceback__)  # which hold the picture
            del line, frame
            answer.set_exception(error)
        del answer
        return True


def has_core_to_spare() -> bool:
    """Tell whether this process may use two cores or more; limits of time are not looked at."""
    return len(os.sched_getaffinity(0)) > 1
