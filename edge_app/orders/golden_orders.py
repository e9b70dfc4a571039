"""Golden parts where orders are taken: announced by a person, recorded in audit and history."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from edge_app.audit.records import AuditEntry
from edge_app.config.golden import GoldenPartConfig
from edge_app.ipc.order_schema import ShowGolden
from edge_app.orders.desk import Prepared
from edge_app.records import AlarmEvent, GoldenCheck
from edge_app.runtime.golden_book import GOLDEN_FILE, GoldenBook
from edge_app.runtime.golden_parts import ANNOUNCED_S, GoldenEffects, GoldenWatch, check_words

ANNOUNCED, CHECKED = "golden_announced", "golden_check"
"""Events of the audit."""


class GoldenRecorder(Protocol):
    """Keeps what became of golden parts; see `HistoryWriter.golden_checked`."""

    def golden_checked(self, check: GoldenCheck, check_id: str) -> None: ...


class GoldenOrders:
    """Announces golden parts, and records what became of them.

    Args:
        note: puts a record of the machine into the audit, once for its id.
        history: None: this device keeps none.
        trouble: says `degraded` for a source, or takes it back with None.
        deliver: see `GoldenEffects`.
        paused: see `GoldenEffects`.
    """

    def __init__(
        self,
        state_dir: Path,
        parts: tuple[GoldenPartConfig, ...],
        note: Callable[[AuditEntry], None],
        history: GoldenRecorder | None,
        trouble: Callable[[str | None, str], None],
        deliver: Callable[[str, AlarmEvent], None],
        paused: Callable[[], frozenset[str]],
        wall_ns: Callable[[], int],
    ) -> None:
        self._note, self._history, self._trouble = note, history, trouble
        book = GoldenBook(state_dir / GOLDEN_FILE, parts, wall_ns())
        effects = GoldenEffects(self._record, deliver, paused)
        self.watch = GoldenWatch(parts, book, effects, wall_ns)
        self._alarmed = [part.name for part in parts if book.state(part.name).alarm_id]

    def start(self) -> None:
        """Say again what a restart interrupted: a golden part that was not recognised."""
        for name in self._alarmed:
            self._trouble(
                f"golden part {name} was not recognised or not shown: show it again",
                _source(name),
            )

    def prepare_show(self, order: ShowGolden) -> Prepared:
        """Check an order.

        Raises:
            OrderError: there is no such golden part, or its camera is paused.
        """
        camera = self.watch.camera_of(order.name)
        return Prepared(
            ANNOUNCED,
            order.name,
            None,
            {"camera": camera, "within_s": ANNOUNCED_S},
            f"{camera}: the next part is taken for golden part {order.name}, if it comes within "
            f"{ANNOUNCED_S:.0f} s. Lay it under the camera alone.",
            self._announce,
        )

    def _announce(self, record: Any) -> str:
        self.watch.announce(str(record["subject"]))
        return ""

    def _record(self, check: GoldenCheck) -> None:
        check_id = f"golden {check.name} {check.part_id or check.due_ns}"
        words = check_words(check)
        self._note(
            AuditEntry(
                CHECKED,
                "machine",
                "inspection",
                subject=check.name,
                new={
                    "camera": check.camera,
                    "outcome": check.outcome,
                    "part_id": check.part_id,
                    "verdict": None if check.state is None else check.state.value,
                    "score": check.score,
                    "classes": list(check.found_classes),
                    "expected_class": check.expected_class,
                    "due_ns": check.due_ns,
                },
                why=words,
                order_id=check_id,
            )
        )
        if self._history is not None:
            self._history.golden_checked(check, check_id)
        self._trouble(None if check.outcome == "passed" else words, _source(check.name))


def _source(name: str) -> str:
    return f"golden part {name}"
