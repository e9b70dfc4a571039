"""Which number comes next, decided from what three records say; no IO.

A number is given out once. The outbox' own count is exact unless the file lost its last
transactions, which nothing in it shows (a write-ahead log that was cut or removed). The last-number
file is exact as long as the machine has not been started again. The high-water mark is never below
a number that was used. Where neither of the two can vouch for the outbox, a new numbering begins,
with an id of its own: consumers order by (store_id, seq).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_app.mqtt.high_water import LARGEST, HighWater
from edge_app.store.last_number import LastNumber


@dataclass(frozen=True, slots=True)
class StoredNumbers:
    """What the outbox itself says; zeros in a new file.

    Attributes:
        seq: the last number given out.
        session: the session that wrote last.
        is_new_file: the file was not there, or was damaged and replaced.
    """

    store_id: int = 0
    seq: int = 0
    session: int = 0
    is_new_file: bool = False


@dataclass(frozen=True, slots=True)
class Numbering:
    """How the numbers go on.

    Attributes:
        next_seq: the first number of this session.
        used: the last number that is known to have been given out.
        skipped_from: numbers from here to `next_seq` are left out because they may have been
            used; None if none is.
        is_exact: the last-number file was written after the outbox' last commit, in this start
            of the machine: its counts hold.
    """

    store_id: int
    session: int
    next_seq: int
    used: int
    skipped_from: int | None
    is_exact: bool


def decide(
    stored: StoredNumbers,
    exact: LastNumber | None,
    mark: HighWater | None,
    boot: str,
    new_id: int,
) -> Numbering:
    """Return how the numbers go on.

    Args:
        exact: the last-number file; None if it is gone or damaged.
        mark: the fsynced mark; None likewise.
        boot: the id of this start of the machine, "" if unknown.
        new_id: is used if a new numbering has to begin.
    """
    is_contradicted = mark is not None and stored.seq > mark.seq
    stored = _plausible(stored, mark)
    ids = {stored.store_id, exact.store_id if exact else 0, mark.store_id if mark else 0} - {0}
    own = next(iter(ids)) if len(ids) == 1 and not is_contradicted else 0
    known = [stored.seq, exact.seq if exact else 0]
    used, highest = max(known), max(*known, mark.seq if mark else 0)
    is_same_boot = exact is not None and own != 0 and boot != "" and exact.boot_id == boot
    is_upgrade = not ids and not stored.is_new_file  # 0.1.0 counted without an id
    last = used if is_upgrade or is_same_boot else highest
    is_vouched = own != 0 and (is_same_boot or mark is not None)
    sessions = (stored.session, exact.session if exact else 0, mark.session if mark else 0)
    return Numbering(
        store_id=own if is_vouched else new_id,
        session=max(sessions) + 1,
        next_seq=last + 1,
        used=used,
        skipped_from=used + 1 if is_vouched and last > used else None,
        is_exact=is_same_boot and exact is not None and exact.session >= stored.session,
    )


def _plausible(stored: StoredNumbers, mark: HighWater | None) -> StoredNumbers:
    """Return the outbox' numbers without values that only damage can have made.

    The mark is raised before a number above it is used, and follows each new session.
    """
    seq = stored.seq if 0 <= stored.seq < LARGEST else 0
    session = stored.session if 0 <= stored.session < LARGEST else 0
    if mark is not None:
        session = min(session, mark.session + 1)
    return replace(stored, seq=seq, session=session)
