"""Which parts are asked for, as a query that leads with what is rare. No IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_app.history.schema import NO_GOLDEN

MAX_NS = 2**63 - 1

ANY = "any"
"""Kept for whatever reason."""

Term = tuple[str, list[object]]


@dataclass(frozen=True, slots=True)
class _Said:
    """How parts are found by what was said of them.

    Attributes:
        index: of the decisions, in the order of parts.
        having: of the decisions of one part together. Who cannot tell does not disagree.
    """

    index: str
    terms: list[Term]
    having: str = ""


@dataclass(frozen=True, slots=True)
class PartFilter:
    """Which parts; None and "" mean all.

    Attributes:
        states: any of OK, NG, NOT_INSPECTED.
        suspects: only those that are suspect.
        part: a part id, trigger id or file name, exactly.
        from_ns, to_ns: captured in [from_ns, to_ns), ns since the epoch.
        kept_for: a reason for which their picture was kept, or ANY.
        reviewed: whether a person has said something of them.
        mark: what one person or more says of them now.
        disputed: only those of which people say different things.
        serial: a number, trigger id or file name, exactly.
        golden: only golden parts, or none of them; what people said of is never one.
    """

    camera: str | None = None
    states: tuple[str, ...] = ()
    suspects: bool = False
    part: str = ""
    defect_class: str = ""
    from_ns: int | None = None
    to_ns: int | None = None
    kept_for: str = ""
    reviewed: bool | None = None
    mark: str = ""
    disputed: bool = False
    serial: str = ""
    golden: bool | None = None

    def ids(self, before: int | None, count: int) -> tuple[str, list[object]]:
        """Return a query for the ids of a page, the newest first, and its values.

        What is rare leads: a name, a mark, a class, parts that are not OK, a time, a camera. A plus
        sign keeps SQLite from taking another index.
        """
        terms, said = self._rare(), self._said()
        is_rare = bool(terms) or said is not None
        leads_by_state = not is_rare and bool(self.states and "OK" not in self.states)
        by_time = not is_rare and not leads_by_state
        by_time = by_time and (self.from_ns is not None or self.to_ns is not None)
        if said is not None:
            return self._ids_of_said(said, terms, before, count)
        table = "parts INDEXED BY parts_kept" if self.kept_for else "parts"
        if leads_by_state:  # an index of its own, with the camera in it
            index = "parts_not_ok" if self.camera is None else "parts_not_ok_of"
            table = f"parts INDEXED BY {index}"
            terms.append(("state <> 'OK'", []))
        if self.reviewed is False:
            said_of = "SELECT 1 FROM decisions WHERE decisions.part = parts.id"
            terms.append((f"NOT EXISTS ({said_of})", []))
        if self.golden is False:
            terms.append((NO_GOLDEN, []))
        camera_plus = "+" if is_rare or by_time else ""
        terms += self._plain("" if leads_by_state else "+", camera_plus, "" if by_time else "+")
        terms += _cursor(before, by_time)
        order = "captured_ns DESC, id DESC" if by_time else "id DESC"
        return _query(f"SELECT id FROM {table}", terms, f"ORDER BY {order} LIMIT ?", count)

    def _ids_of_said(
        self, said: _Said, rare: list[Term], before: int | None, count: int
    ) -> tuple[str, list[object]]:
        """Return the query that begins with what was said: a decision knows its part's camera,
        verdict and time, so that parts are read for what they alone know."""
        table = f"decisions AS said INDEXED BY {said.index}"
        if rare:
            table += " CROSS JOIN parts ON parts.id = said.part"
        cursor: list[Term] = [] if before is None else [("said.part < ?", [before])]
        plain = self._plain("said.", "said.", "said.")
        order = f"GROUP BY said.part{said.having} ORDER BY said.part DESC LIMIT ?"
        return _query(
            f"SELECT said.part FROM {table}", [*said.terms, *rare, *plain, *cursor], order, count
        )

    def _plain(self, state: str, camera: str, time: str) -> list[Term]:
        """Return the terms of verdict, camera and time, each column with what stands before it."""
        terms: list[Term] = []
        if self.states:
            marks = ", ".join("?" * len(self.states))
            terms.append((f"{state}state IN ({marks})", [*self.states]))
        if self.camera is not None:
            name = "(SELECT id FROM cameras WHERE name = ?)"
            terms.append((f"{camera}camera = {name}", [self.camera]))
        if self.from_ns is not None:
            terms.append((f"{time}captured_ns >= ?", [storable_ns(self.from_ns)]))
        if self.to_ns is not None:
            terms.append((f"{time}captured_ns < ?", [storable_ns(self.to_ns)]))
        return terms

    def _said(self) -> _Said | None:
        """Return how the parts are found of which people said what is asked for: from their
        decisions, the newest part first, as far as the page needs. None where nothing of that is
        asked."""
        if self.disputed:
            terms: list[Term] = [("said.is_current AND said.mark <> 'unsure'", [])]
            if self.mark:
                same = "SELECT 1 FROM decisions WHERE part = said.part AND is_current AND mark = ?"
                terms.append((f"EXISTS ({same})", [self.mark]))
            return _Said("decisions_by_part", terms, " HAVING min(said.mark) <> max(said.mark)")
        if self.mark:
            return _Said("decisions_current", [("said.is_current AND said.mark = ?", [self.mark])])
        return _Said("decisions_by_part", []) if self.reviewed else None

    def _rare(self) -> list[Term]:
        """Return the terms that few parts meet."""
        terms: list[Term] = []
        if self.part:
            terms.append(_one_of(("part_id", "trigger_id", "source_name"), self.part))
        if self.serial:
            names = ("trigger_id", "source_name", *(["number"] if _is_number(self.serial) else []))
            terms.append(_one_of(names, self.serial))
        if self.defect_class:
            terms.append(
                ("parts.id IN (SELECT part FROM part_classes WHERE class = ?)", [self.defect_class])
            )
        if self.golden:
            terms.append(("parts.id IN (SELECT part FROM golden_parts)", []))
        if self.suspects:
            terms.append(("is_suspect", []))
        if self.kept_for:
            terms.append(("kept_for IS NOT NULL", []))
            if self.kept_for != ANY:
                terms.append(("instr(',' || kept_for || ',', ?)", [f",{self.kept_for},"]))
        return terms


def _query(head: str, terms: list[Term], tail: str, count: int) -> tuple[str, list[object]]:
    where = " AND ".join(text for text, _ in terms) or "1"
    values = [value for _, of_term in terms for value in of_term]
    return f"{head} WHERE {where} {tail}", [*values, count]


def _cursor(before: int | None, by_time: bool) -> list[Term]:
    if before is None:
        return []
    if by_time:
        at = "(SELECT captured_ns FROM parts WHERE id = ?)"
        text = f"captured_ns <= {at} AND (captured_ns < {at} OR id < ?)"
        return [(text, [before] * 3)]
    return [("id < ?", [before])]


def _one_of(columns: Sequence[str], value: str) -> Term:
    same = " UNION ".join(f"SELECT id FROM parts WHERE {name} = ?" for name in columns)
    return f"parts.id IN ({same})", [int(value) if name == "number" else value for name in columns]


def _is_number(text: str) -> bool:
    return len(text) <= 18 and text.isascii() and text.isdigit()


def storable_ns(ns: int) -> int:
    """Return a time that SQLite can compare with: the years 1677 to 2262, nothing lies beyond."""
    return max(-MAX_NS, min(MAX_NS, ns))
