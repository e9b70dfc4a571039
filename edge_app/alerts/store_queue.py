"""Stores batches in order in a thread of its own: nobody waits longer for a disk than stated.

put → (thread: store) → stored
         ↓ fails
      waits for `retry`
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from edge_app.errors import OutboxError

_log = logging.getLogger(__name__)
_Batch = TypeVar("_Batch")


class StoreQueue(Generic[_Batch]):
    """Batches on their way to the disk; the one in hand counts as waiting until it is stored.

    Args:
        store: stores one batch; called in the queue's thread, without any lock.
    """

    def __init__(self, store: Callable[[_Batch], None]) -> None:
        self._store = store
        self._waiting: deque[_Batch] = deque()
        self._in_hand: _Batch | None = None
        self._failure: OutboxError | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, batch: _Batch, replaces: Callable[[_Batch], bool]) -> None:
        """Queue a batch.

        Args:
            replaces: asked about the last one that waits: it is dropped for this one.
        """
        with self._changed:
            if self._waiting and replaces(self._waiting[-1]):
                self._waiting.pop()
            self._waiting.append(batch)
            self._failure = None
            self._wake()

    def retry(self) -> None:
        """Try again to store what waits."""
        with self._changed:
            if self._waiting and self._in_hand is None:
                self._failure = None
                self._wake()

    def wait(self, at_most_s: float) -> bool:
        """Wait until nothing waits, or the disk refuses; return whether nothing waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_idle or self._failure is not None, at_most_s)
            return self._is_idle

    def all(self) -> list[_Batch]:
        """Return what is not stored yet, oldest first."""
        with self._changed:
            return [*([] if self._in_hand is None else [self._in_hand]), *self._waiting]

    def drop_newest(self) -> _Batch | None:
        """Take back the newest batch that is not in hand."""
        with self._changed:
            return self._waiting.pop() if self._waiting else None

    @property
    def failure(self) -> OutboxError | None:
        """Why the oldest batch could not be stored; None while it is tried."""
        return self._failure

    @property
    def is_own_thread(self) -> bool:
        """The caller is `store`: it must not wait for the queue."""
        return threading.current_thread() is self._thread

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting) + (self._in_hand is not None)

    def close(self, at_most_s: float) -> None:
        """Store what can be stored in that time, and end the thread after the batch in hand."""
        self.wait(at_most_s)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(at_most_s)

    @property
    def _is_idle(self) -> bool:
        return not self._waiting and self._in_hand is None

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="alarm-store", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _next(self) -> _Batch | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or (bool(self._waiting) and self._failure is None)
            )
            if self._is_closed:
                return None
            self._in_hand = self._waiting.popleft()
            return self._in_hand

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            failure = None
            try:
                self._store(batch)
            except OutboxError as error:
                failure = error
            except Exception as error:  # a fault of ours must not end the storing of alerts
                _log.exception("storing alerts failed")
                failure = OutboxError(f"storing alerts failed: {error}")
                time.sleep(0.1)
            with self._changed:
                self._in_hand, self._failure = None, failure
                if failure is not None:
                    self._waiting.appendleft(batch)
                self._changed.notify_all()
