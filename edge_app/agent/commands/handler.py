"""Handles operators' commands over MQTT; every command is answered.

command → retained? → signature, device, time → taken before? → the slot's thread → answer
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from edge_app.agent.commands.journal import CommandJournal
from edge_app.agent.commands.rules import read_command
from edge_app.agent.install.inbox import Answered
from edge_app.bundle.trusted_keys import TrustedKey, TrustPolicy
from edge_app.errors import CommandError, EdgeError
from edge_app.ipc.protocol import Requester
from edge_app.mqtt.command_messages import CommandAnswer, SelectProduct
from edge_app.mqtt.timestamps import epoch_ns, rfc3339
from edge_app.mqtt.topics import DeviceName

VERB = "select_product"
MAX_VERB_CHARS = 64

_log = logging.getLogger(__name__)


class SelectSlot(Protocol):
    """The agent's changeover. Returns at once; `answer` is called with the outcome."""

    def __call__(
        self,
        slot: str,
        product: str,
        answer: Answered,
        is_late: Callable[[], bool],
        by: Requester,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Orders:
    """What lets a device take commands.

    Attributes:
        select: `Agent.select`.
        operators: reads the operators' keys, again for every command: a revocation applies at once.
        doubt: why the device's clock may be wrong, for people; "" if it is right.
    """

    select: SelectSlot
    operators: Callable[[], TrustPolicy]
    doubt: Callable[[], str] = lambda: ""


class CommandHandler:
    """Checks commands and hands them to the agent. `take` is called by one thread.

    Args:
        slots: this device's slots.
        answer: publishes; called from any thread.
        now_ns: wall clock, ns since the epoch.
        now_s: monotonic seconds: a command that waits is not late because the clock was set.
    """

    def __init__(
        self,
        orders: Orders,
        device: DeviceName,
        journal: CommandJournal,
        slots: Collection[str],
        answer: Callable[[CommandAnswer], None],
        now_ns: Callable[[], int],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._orders, self._device, self._journal = orders, device, journal
        self._slots, self._publish, self._now_ns = tuple(slots), answer, now_ns
        self._now_s = now_s

    def take(self, verb: str, payload: bytes, is_retained: bool) -> None:
        """Take a message on `cmd/{verb}`; an empty payload only clears a retained command."""
        if not payload:
            return
        answer = _Answer(verb[:MAX_VERB_CHARS], hashlib.sha256(payload).hexdigest(), self._say)
        try:
            _check_topic(verb, is_retained)
            operators, doubt = self._orders.operators(), self._orders.doubt()
            order, key = read_command(payload, operators, self._device, self._now(), doubt)
            answer.order = order
            end_ns = epoch_ns(order.expires_at)
            end_s = self._now_s() + (end_ns - self._now_ns()) / 1e9
            self._journal.take(order.command_id, _utc(end_ns))
            self._check_slot(order.slot)
        except EdgeError as error:  # a ConfigError: the operators' keys cannot be read
            answer(False, str(error))
            return
        _log.info("slot %s: key %s asks for %s", order.slot, key.name, order.product)
        self._orders.select(
            order.slot,
            order.product,
            answer,
            is_late=lambda: self._now_s() >= end_s,
            by=_author(key),
        )

    def _check_slot(self, slot: str) -> None:
        if slot not in self._slots:
            known = ", ".join(self._slots)
            raise CommandError(f"Command refused: there is no slot {slot!r}; there are: {known}.")

    def _say(self, answer: _Answer, is_done: bool, text: str) -> None:
        _log.log(logging.INFO if is_done else logging.WARNING, "cmd/%s: %s", answer.verb, text)
        self._publish(
            CommandAnswer(
                verb=answer.verb,
                is_done=is_done,
                text=text,
                command_sha256=answer.command_sha256,
                slot=answer.order.slot if answer.order else None,
                product=answer.order.product if answer.order else None,
                at=rfc3339(self._now_ns()),
            )
        )

    def _now(self) -> datetime:
        return _utc(self._now_ns())


@dataclass(slots=True)
class _Answer:
    """Answers one command; `order` is known once its signature is verified."""

    verb: str
    command_sha256: str
    say: Callable[[_Answer, bool, str], None]
    order: SelectProduct | None = None

    def __call__(self, is_done: bool, text: str) -> None:
        self.say(self, is_done, text)


def _author(key: TrustedKey) -> Requester:
    """Return a key's name, which is its file's on this device, with the beginning of its id."""
    return Requester(kind="key", name=f"{key.name[:46]} {key.key_id[:16]}", via="mqtt")


def _check_topic(verb: str, is_retained: bool) -> None:
    if verb != VERB:
        raise CommandError(f"Command refused: there is no such verb; there is cmd/{VERB}.")
    if is_retained:
        raise CommandError(
            "Command refused: it was retained on the broker, so it may be stale. Clear "
            f"cmd/{VERB} and send the command without retain."
        )


def _utc(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns / 1e9, tz=timezone.utc)
