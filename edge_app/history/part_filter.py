"""Which parts are asked for, as a query that leads with what is rare. No IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_NS = 2**63 - 1

ANY = "any"
"""Kept for whatever reason."""

DISPUTED = (
    "SELECT part FROM decisions INDEXED BY decisions_by_part WHERE is_current"
    " AND mark <> 'unsure' GROUP BY part HAVING min(mark) <> max(mark)"
)
"""Parts of which two people say different things; who cannot tell does not disagree."""


Term = tuple[str, list[object]]


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

    def ids(self, before: int | None, count: int) -> tuple[str, list[object]]:
        """Return a query for the ids of a page, the newest first, and its values.

        What is rare leads: a name, a mark, a class, parts that are not OK, a time, a camera. A plus
        sign keeps SQLite from taking another index.
        """
        table, terms, said = "parts", self._rare(), self._said()
        is_rare = bool(terms) or said is not None
        leads_by_state = not is_rare and bool(self.states and "OK" not in self.states)
        by_time = not is_rare and not leads_by_state
        by_time = by_time and (self.from_ns is not None or self.to_ns is not None)
        if said is not None:
            table = f"({said[0]}) AS said CROSS JOIN parts ON parts.id = said.part"
        elif self.kept_for:
            table = "parts INDEXED BY parts_kept"
        if self.reviewed is False:
            terms.append(
                ("NOT EXISTS (SELECT 1 FROM decisions WHERE decisions.part = parts.id)", [])
            )
        if self.states:
            marks = ", ".join("?" * len(self.states))
            plain, other = f"state IN ({marks}) AND state <> 'OK'", f"+state IN ({marks})"
            terms.append((plain if leads_by_state else other, [*self.states]))
            if leads_by_state:  # an index of its own, with the camera in it
                index = "parts_not_ok" if self.camera is None else "parts_not_ok_of"
                table = f"parts INDEXED BY {index}"
        if self.camera is not None:
            plus = "+" if is_rare or by_time else ""
            terms.append(
                (f"{plus}parts.camera = (SELECT id FROM cameras WHERE name = ?)", [self.camera])
            )
        terms += [*self._time(by_time), *_cursor(before, by_time)]
        where = " AND ".join(text for text, _ in terms) or "1"
        order = "captured_ns DESC, parts.id DESC" if by_time else "parts.id DESC"
        if said is not None:
            order = "said.part DESC"
        values = [*(said[1] if said else ()), *(v for _, of_term in terms for v in of_term)]
        query = f"SELECT parts.id FROM {table} WHERE {where} ORDER BY {order} LIMIT ?"
        return query, [*values, count]

    def _said(self) -> Term | None:
        """Return the parts of which people said what is asked for, the newest first; each is read
        from the decisions as far as the page needs. None where nothing of that is asked."""
        if self.disputed:
            text = f"{DISPUTED} ORDER BY part DESC"
            if not self.mark:
                return text, []
            marked = (
                "EXISTS (SELECT 1 FROM decisions WHERE is_current AND mark = ? AND part = d.part)"
            )
            return f"SELECT part FROM ({text}) AS d WHERE {marked} ORDER BY part DESC", [self.mark]
        if self.mark:
            text = "SELECT DISTINCT part FROM decisions WHERE is_current AND mark = ?"
            return f"{text} ORDER BY part DESC", [self.mark]
        if self.reviewed:
            return "SELECT DISTINCT part FROM decisions ORDER BY part DESC", []
        return None

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
        if self.suspects:
            terms.append(("is_suspect", []))
        if self.kept_for:
            terms.append(("kept_for IS NOT NULL", []))
            if self.kept_for != ANY:
                terms.append(("instr(',' || kept_for || ',', ?)", [f",{self.kept_for},"]))
        return terms

    def _time(self, by_time: bool) -> list[Term]:
        plus = "" if by_time else "+"
        terms: list[Term] = []
        if self.from_ns is not None:
            terms.append((f"{plus}captured_ns >= ?", [storable_ns(self.from_ns)]))
        if self.to_ns is not None:
            terms.append((f"{plus}captured_ns < ?", [storable_ns(self.to_ns)]))
        return terms


def _cursor(before: int | None, by_time: bool) -> list[Term]:
    if before is None:
        return []
    if by_time:
        at = "(SELECT captured_ns FROM parts WHERE id = ?)"
        text = f"captured_ns <= {at} AND (captured_ns < {at} OR parts.id < ?)"
        return [(text, [before] * 3)]
    return [("parts.id < ?", [before])]


def _one_of(columns: Sequence[str], value: str) -> Term:
    same = " UNION ".join(f"SELECT id FROM parts WHERE {name} = ?" for name in columns)
    return f"parts.id IN ({same})", [int(value) if name == "number" else value for name in columns]


def _is_number(text: str) -> bool:
    return len(text) <= 18 and text.isascii() and text.isdigit()


def storable_ns(ns: int) -> int:
    """Return a time that SQLite can compare with: the years 1677 to 2262, nothing lies beyond."""
    return max(-MAX_NS, min(MAX_NS, ns))
