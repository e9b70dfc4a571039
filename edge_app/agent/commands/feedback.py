"""Takes what operators say of parts over MQTT; every message is answered.

feedback → retained? → signature, device, time → taken before? → inspection's `mark` order → answer

The order's id is the message's own: what a restart of the agent lets through a second time gets
inspection's first answer, and is recorded once.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone

from pydantic import ValidationError

from edge_app.agent.commands.journal import CommandJournal
from edge_app.agent.commands.rules import read_signed
from edge_app.bundle.trusted_keys import TrustedKey, TrustPolicy
from edge_app.errors import CommandError, EdgeError
from edge_app.ipc.order_schema import Author, MarkPart, OrderAnswer
from edge_app.mqtt.command_messages import CommandAnswer, GiveFeedback
from edge_app.mqtt.timestamps import epoch_ns, rfc3339
from edge_app.mqtt.topics import DeviceName

VERB = "feedback"
MAX_WAITING = 100
"""Messages in memory while inspection answers: it takes milliseconds for one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FeedbackDesk:
    """What lets a device take feedback.

    Attributes:
        give: gives inspection an order; raises an EdgeError where it does not answer.
        operators: reads the operators' keys, again for every message: a revocation applies at once.
        doubt: why the device's clock may be wrong, for people; "" if it is right.
    """

    give: Callable[[MarkPart], OrderAnswer]
    operators: Callable[[], TrustPolicy]
    doubt: Callable[[], str] = lambda: ""


class FeedbackHandler:
    """Verifies feedback and gives it to inspection, one message at a time, in its own thread.

    Args:
        journal: of feedback alone: a flood of it does not use up the commands' places.
        answer: publishes; called from the own thread and from the caller's of `take`.
        now_ns: wall clock, ns since the epoch.
    """

    def __init__(
        self,
        desk: FeedbackDesk,
        device: DeviceName,
        journal: CommandJournal,
        answer: Callable[[CommandAnswer], None],
        now_ns: Callable[[], int],
    ) -> None:
        self._desk, self._device, self._journal = desk, device, journal
        self._publish, self._now_ns = answer, now_ns
        self._waiting: queue.Queue[tuple[bytes, bool] | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="feedback", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Answer no more; what waits is sent again by whoever had no answer."""
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
        with suppress(queue.Full):
            self._waiting.put(None, timeout=timeout_s)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def take(self, payload: bytes, is_retained: bool) -> None:
        """Take a message; returns at once. An empty payload only clears a retained one."""
        if not payload:
            return
        try:
            self._waiting.put_nowait((payload, is_retained))
        except queue.Full:
            self._say(payload, False, "Feedback refused: too much of it waits. Send it later.", "")

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._handle(*item)
            except Exception:  # one message must not end the others
                _log.exception("feedback failed")

    def _handle(self, payload: bytes, is_retained: bool) -> None:
        part_id = ""
        try:
            if is_retained:
                raise CommandError(
                    "Feedback refused: it was retained on the broker, so it may be stale. Clear "
                    "the topic and send it without retain."
                )
            operators, doubt = self._desk.operators(), self._desk.doubt()
            said, key = read_signed(
                GiveFeedback, payload, operators, self._device, _utc(self._now_ns()), doubt
            )
            part_id = said.part_id
            self._journal.check(said.command_id)
            answer = self._desk.give(_order_of(said, key))
        except EdgeError as error:  # a ConfigError: no keys can be read, or inspection is not there
            self._say(payload, False, _words(error), part_id)
            return
        if answer.is_done:
            self._remember(said)
        text = answer.text if answer.is_done else f"Feedback refused: {answer.text}"
        self._say(payload, answer.is_done, text, part_id)

    def _remember(self, said: GiveFeedback) -> None:
        try:
            self._journal.take(said.command_id, _utc(epoch_ns(said.expires_at)))
        except CommandError as error:
            _log.warning("feedback/%s: %s", said.command_id, error)  # again: inspection knows it

    def _say(self, payload: bytes, is_done: bool, text: str, part_id: str) -> None:
        _log.log(logging.INFO if is_done else logging.WARNING, "feedback: %s", text)
        self._publish(
            CommandAnswer(
                verb=VERB,
                is_done=is_done,
                text=text,
                command_sha256=hashlib.sha256(payload).hexdigest(),
                part_id=part_id or None,
                at=rfc3339(self._now_ns()),
            )
        )


def _order_of(said: GiveFeedback, key: TrustedKey) -> MarkPart:
    """Return the order in the key's name, which is its file's on this device.

    Raises:
        CommandError: it says what no mark can say.
    """
    name = f"{key.name[:46]} {key.key_id[:16]}"
    try:
        return MarkPart(
            author=Author(kind="key", name=name),
            order_id=said.command_id,
            device=said.device,
            part_id=said.part_id,
            mark=said.mark,
            defect_class=said.defect_class,
            region=said.region,
            note=said.note,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise CommandError(f"Feedback refused: {place}: {first['msg']}.") from error


def _words(error: EdgeError) -> str:
    text = str(error)
    if text.startswith("Feedback refused"):
        return text
    return f"Feedback refused: {text.removeprefix('Command refused: ')}"


def _utc(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns / 1e9, tz=timezone.utc)
