"""Alerts that the broker does not take, and what is done about each: it must not hold up the rest.

not taken → sent again → shortened, if its size may be why → set aside: the next one is sent
set aside → tried again from time to time → taken

Nothing is ever deleted here: what is set aside stays in the outbox. No IO.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from edge_app.mqtt.backoff import Backoff
from edge_app.mqtt.memory_block import MEMORY_BASE
from edge_app.mqtt.shorten import SMALLEST_BYTES

MAX_STRIKES = 2
"""So many refusals of one alert are no accident: mosquitto 2.0.11 hangs up after a publish that its
ACL denies, other brokers after one that is too large."""
MAX_ASIDE_PER_TOPIC = 2
"""So many alerts of one camera, refused for one reason: it is the topic, not the alert. Its other
alerts are not tried one by one."""
SHRINK = 4
"""An unknown limit is looked for in such steps: from 100 kB to 1,500 bytes in three."""
RETRY_MAX_S = 600.0
"""How rarely what was set aside is tried again, while other alerts get through."""


@dataclass(slots=True)
class _Trouble:
    topic: str
    why: str = ""
    strikes: int = 0
    max_bytes: int | None = None
    is_aside: bool = False


class AlertTroubles:
    """What is known about single alerts that the broker did not take; outlives connections.

    Args:
        backoff: paces the attempts while nothing gets through.
        now_s: monotonic clock.

    Attributes:
        careful_until: up to this number stored alerts are sent one at a time: one of several that
            were on their way when a connection ended may be why.
        careful_keys: the same of alerts that were told from memory, each by its place. Their
            places are above all stored ones; they say nothing about what is stored.
        max_bytes: the largest payload, as far as the broker's behaviour has shown it.
    """

    def __init__(self, backoff: Backoff, now_s: Callable[[], float]) -> None:
        self._backoff, self._now_s = backoff, now_s
        self._slow = Backoff(60.0, RETRY_MAX_S, lambda: 0.0)
        self._troubles: dict[int, _Trouble] = {}
        self._refused_topics: dict[str, str] = {}
        self._paroled: int | None = None
        self._last_paroled = 0
        self._retry_at_s = float("inf")
        self._has_arrived = False
        self.careful_until = 0
        self.careful_keys: set[int] = set()
        self.max_bytes: int | None = None

    # -- before an alert is sent ----------------------------------------------------------------

    def skips(self, seq: int, topic: str) -> bool:
        """Return whether an alert is not to be sent now."""
        if seq == self._paroled:
            return False
        trouble = self._troubles.get(seq)
        return topic in self._refused_topics or (trouble is not None and trouble.is_aside)

    def is_aside(self, seq: int) -> bool:
        """Return whether an alert has just been set aside."""
        trouble = self._troubles.get(seq)
        return trouble is not None and trouble.is_aside

    def room(self, seq: int, announced: int) -> int:
        """Return how many bytes an alert's payload may have, at most what the broker announced."""
        trouble = self._troubles.get(seq)
        limits = (announced, self.max_bytes, trouble.max_bytes if trouble else None)
        return min(limit for limit in limits if limit is not None)

    def parole(self, is_idle: bool) -> bool:
        """Return whether something that was set aside is to be tried again now.

        Args:
            is_idle: nothing else waits; otherwise something else has to get through first.
        """
        aside = sorted(seq for seq, trouble in self._troubles.items() if trouble.is_aside)
        may_try = self._has_arrived or is_idle
        if not aside or not may_try or self._now_s() < self._retry_at_s:
            return False
        self._paroled = next((seq for seq in aside if seq > self._last_paroled), aside[0])
        self._last_paroled = self._paroled
        self._retry_later()
        return True

    # -- what became of it ----------------------------------------------------------------------

    def blame(self, seq: int, topic: str, size: int, why: str, is_of_size: bool | None) -> None:
        """Note that the broker did not take an alert.

        Args:
            size: of its payload, in bytes.
            why: for people.
            is_of_size: whether its size is why; None: the broker did not say.
        """
        trouble = self._troubles.setdefault(seq, _Trouble(topic))
        trouble.why, trouble.strikes = why, trouble.strikes + 1
        self._has_arrived = False
        self._paroled = None if seq == self._paroled else self._paroled
        is_again = trouble.is_aside or self._is_aside_for(topic, why)
        may_shrink = is_of_size or (is_of_size is None and trouble.strikes >= MAX_STRIKES)
        if may_shrink and not is_again and size > SMALLEST_BYTES:
            trouble.max_bytes = max(SMALLEST_BYTES, size // SHRINK)
        elif is_again or trouble.strikes >= MAX_STRIKES:
            self.set_aside(seq, topic, why)

    def set_aside(self, seq: int, topic: str, why: str) -> None:
        """Pass an alert over until it is tried again."""
        trouble = self._troubles.setdefault(seq, _Trouble(topic))
        is_new = not trouble.is_aside
        trouble.why, trouble.is_aside, trouble.max_bytes = why, True, None
        self.careful_keys.discard(seq)
        if is_new:
            same = [t for t in self._troubles.values() if t.is_aside and t.topic == topic]
            if sum(t.why == why for t in same) >= MAX_ASIDE_PER_TOPIC:
                self._refused_topics[topic] = why
            self._retry_later()

    def arrived(self, seq: int, topic: str) -> bool:
        """Note that the broker took an alert; return whether others are to be tried anew, which
        were passed over because of their topic."""
        self._has_arrived = True
        self.careful_keys.discard(seq)
        trouble = self._troubles.pop(seq, None)
        self._refused_topics.pop(topic, None)
        if trouble is None:
            return False
        if trouble.max_bytes is not None:
            self.max_bytes = min(trouble.max_bytes, self.max_bytes or trouble.max_bytes)
        if trouble.is_aside:
            self._release(topic)
        return trouble.is_aside

    def forget_missing(self, last_seq: int, found: Collection[int]) -> None:
        """Forget what was set aside and is no longer stored.

        Args:
            last_seq: the last number looked at.
            found: the numbers up to it that are stored and set aside.
        """
        gone = [s for s, t in self._troubles.items() if t.is_aside and s <= last_seq]
        for seq in gone:
            if seq not in found:
                del self._troubles[seq]

    def lost(self, in_flight: Collection[int]) -> None:
        """Note what was on its way when a connection ended: it is sent one at a time next."""
        stored = [seq for seq in in_flight if seq < MEMORY_BASE]
        self.careful_until = max([self.careful_until, *stored])
        self.careful_keys.update(seq for seq in in_flight if seq > MEMORY_BASE)

    @property
    def count_aside(self) -> int:
        """How many single alerts are set aside; more wait behind a refused topic. Any thread."""
        return sum(trouble.is_aside for trouble in list(self._troubles.values()))

    @property
    def text(self) -> str | None:
        """What people read while something is set aside, None if nothing is."""
        aside = {seq: t for seq, t in self._troubles.items() if t.is_aside}
        if not aside:
            return None
        seq, first = min(aside.items())
        whole = f"; all of {', '.join(self._refused_topics)} wait" if self._refused_topics else ""
        return f"{first.why}; alerts set aside and kept: {len(aside)}, first seq {seq}{whole}"

    # -- inside ---------------------------------------------------------------------------------

    def _is_aside_for(self, topic: str, why: str) -> bool:
        return any(
            t.is_aside and t.topic == topic and t.why == why for t in self._troubles.values()
        )

    def _release(self, topic: str) -> None:
        """Try everything of a topic anew: one of its refused alerts has been taken."""
        self._troubles = {
            seq: t for seq, t in self._troubles.items() if not (t.is_aside and t.topic == topic)
        }
        self._backoff.reset()
        self._slow.reset()
        self._paroled = None
        self._retry_at_s = self._now_s()

    def _retry_later(self) -> None:
        pace = self._slow if self._has_arrived else self._backoff
        self._retry_at_s = self._now_s() + pace.next_s()
