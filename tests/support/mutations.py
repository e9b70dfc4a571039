"""Messages made bad in every way that bytes from a broker can be bad; seeded."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

NASTY: tuple[Any, ...] = (
    None, True, [], {}, "", -1, 0, 1.5, 10**30, -(10**30), 10**400, 1e308,
    float("inf"), float("nan"), [[[[]]]], {"a": {"b": []}},
    "2026-02-31T25:61:61.000000000Z", "0000-00-00T00:00:00.000000000Z",
    "9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00.000000000Z",
    "\x1b[2J\x1b]0;owned\x07", "\x9b31m", "a\nb\rc\td", "\u202egnp.exe", "\u2028", "x" * 100_000,
    "[/] [bold", "\\[", "%s%n{0}", "../../etc/passwd", "\U0001f4a9", "graz/line-9/press-9",
    "+", "#",
)  # fmt: skip
RAW: tuple[bytes, ...] = (
    b"", b"null", b"[]", b"0", b'"text"', b"[" * 16_000, b'{"a":' * 5_000, b"\xff\xfe\x00", b"{",
    b"NaN", b'{"seq": NaN}', b'{"seq": ' + b"9" * 5_000 + b"}", b'{"a": "\\ud800"}', b"\x00" * 100,
    b"\x1b[2J", b'{"schema_version": 1, "schema_version": 1}', b"\xef\xbb\xbf{}", b"1e999999999",
)  # fmt: skip


def mutated(payload: bytes, seed: int) -> bytes:
    """Return a message with one to three faults."""
    dice = random.Random(seed)
    if dice.random() < 0.1:
        return dice.choice(RAW)
    for _ in range(dice.randint(1, 3)):
        change = dice.choice((_flip, _cut, _swap_value, _swap_value, _swap_value, _drop, _add))
        payload = change(payload, dice)
    return payload


def mutated_topic(topic: str, seed: int) -> str:
    """Return the topic, one time in five with a level changed, lost or added."""
    dice = random.Random(seed)
    levels = topic.split("/")
    if dice.random() < 0.2:
        place = dice.randrange(len(levels))
        change = dice.choice(("other", "lost", "added", "odd"))
        if change == "lost":
            del levels[place]
        elif change == "added":
            levels.insert(place, "more")
        else:
            levels[place] = "other" if change == "other" else dice.choice(("", "\x1b[1m", "ä b"))
    return "/".join(levels)


def _flip(payload: bytes, dice: random.Random) -> bytes:
    if not payload:
        return payload
    place = dice.randrange(len(payload))
    changed = payload[place] ^ 1 << dice.randrange(8)
    return payload[:place] + bytes([changed]) + payload[place + 1 :]


def _cut(payload: bytes, dice: random.Random) -> bytes:
    return payload[: dice.randrange(len(payload) + 1)]


def _swap_value(payload: bytes, dice: random.Random) -> bytes:
    return _changed(payload, dice, lambda holder, key: holder.__setitem__(key, dice.choice(NASTY)))


def _drop(payload: bytes, dice: random.Random) -> bytes:
    return _changed(payload, dice, lambda holder, key: holder.__delitem__(key))


def _add(payload: bytes, dice: random.Random) -> bytes:
    return _changed(payload, dice, lambda holder, _: _extend(holder, dice.choice(NASTY)))


def _extend(holder: Any, value: Any) -> None:
    if isinstance(holder, list):
        holder.append(value)
    else:
        holder["\x1b[5m new"] = value


def _changed(payload: bytes, dice: random.Random, change: Any) -> bytes:
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return payload
    places = list(_places(body))
    if places:
        change(*dice.choice(places))
    return json.dumps(body, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")


def _places(body: Any) -> Iterator[tuple[Any, Any]]:
    entries = body.items() if isinstance(body, dict) else enumerate(body or ())
    if isinstance(body, str | int | float):
        return
    for key, value in list(entries):
        yield body, key
        if isinstance(value, dict | list):
            yield from _places(value)
