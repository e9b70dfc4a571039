"""The agent's state machine: from a file that arrived to a bundle in use, or refused.

verifying → self_check → shadow → switching → probation → committed
    └───────────┴──────────┴──────────┴──────────┴──→ refused, rolled_back
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_app.mqtt.deploy_messages import Reported

_log = logging.getLogger(__name__)


class Agent:
    """Installs bundles one after another, in a thread of its own.

    Args:
        incoming: where files to install are put: the store's folder for them.
        report: told of every state an installation reaches; must return at once.
    """

    def __init__(self, incoming: Path, report: Callable[[Reported], None]) -> None:
        self.incoming = incoming
        self._report = report
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="agent", daemon=True)

    def start(self) -> None:
        """Take up what was unfinished at the last stop, then what is asked for."""
        self._thread.start()

    def stop(self, timeout_s: float = 4.0) -> None:
        """End after the step in hand; what is unfinished is taken up at the next start."""
        self._jobs.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def install(self, file: Path, slot: str, origin: str) -> None:
        """Have a file verified, tried and switched to; returns at once, see `report`.

        Args:
            file: below `incoming` it is moved into the store, from elsewhere it is copied.
            slot: the cameras it is for.
            origin: who brought it, for the log: "push", "file".
        """
        self._jobs.put(lambda: self._install(file, slot, origin))

    def _install(self, file: Path, slot: str, origin: str) -> None:
        _log.info("slot %s: %s brings %s", slot, origin, file.name)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
