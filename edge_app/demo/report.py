"""The demo's summary: the line's results against the simulator's ground truth."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from edge_app.binomial import exact_interval
from edge_app.records import JsonObject


def print_summary(summary: JsonObject, console: Console) -> None:
    """Print the summary as short tables."""
    console.print()
    table = Table(title=f"The {summary['product']} line against its ground truth", min_width=50)
    table.add_column("")
    table.add_column("", justify="right")
    for name, text in _rows(summary):
        table.add_row(name, text)
    console.print(table)
    console.print(_how_sure(summary))
    for title, key in (("By kind", "recall_by_kind"), ("By defect size", "recall_by_size")):
        if summary[key]:
            console.print(_breakdown(title, summary[key]))


def _rows(summary: JsonObject) -> list[tuple[str, str]]:
    good = summary["parts"] - summary["defective"]
    rows = [
        ("Parts judged", str(summary["parts"])),
        ("Defective, caught", _share_text(summary["caught"], summary["defective"])),
        ("False alarms (good parts)", _share_text(summary["false_alarms"], good)),
        ("Not inspected", str(summary["not_inspected"])),
        ("Alarms received over MQTT", _text(summary["alerts_received"])),
        ("Defect box overlaps the true one", f"{summary['located']} of {summary['caught']}"),
        ("Frames per second", f"{summary['frames_per_second']:.1f}"),
    ]
    if summary["suspect"]:
        text = f"{summary['suspect']}, {summary['suspect_defective']} of them defective"
        rows.insert(3, ("OK (suspect)", text))
    reserved = summary["reserved_kind"]
    if reserved["parts"]:
        caught = f"{reserved['caught']} of {reserved['parts']}"
        rows.append((f"Defect class not used in tuning ({reserved['kind']})", caught))
    baseline = summary.get("baseline")
    if baseline and baseline["recall"] is not None:
        recall = f"{baseline['recall']:.0%} at {baseline['false_alarm_rate']:.1%} false alarms"
        rows.append(("Baseline: mean image difference", recall))
    return rows


def _share_text(hits: int, count: int) -> str:
    """Return a count with the rates that it allows, e.g. "9 of 10 (95 %: 56 % to 100 %)"."""
    if not count:
        return "none seen"
    low, high = exact_interval(min(hits, count), count)
    return f"{hits} of {count} (95 %: {_least(low)} to {_most(high)})"


def _least(rate: float) -> str:
    return f"{math.floor(100 * rate)} %"


def _most(rate: float) -> str:
    return f"{math.ceil(100 * rate)} %"


def _how_sure(summary: JsonObject) -> str:
    """Return what the counts can say, in a sentence for whoever has not met such intervals."""
    bad, good = summary["defective"], summary["parts"] - summary["defective"]
    if not bad or not good:
        return "Too few parts to say how many defects are caught, or how many alarms are false."
    low = exact_interval(summary["caught"], bad)[0]
    high = exact_interval(min(summary["false_alarms"], good), good)[1]
    return (
        f"How sure is that? {bad} defective and {good} good parts show, with 95 % confidence, "
        f"that at least {_least(low)} of such defects are caught and at most "
        f"{_most(high)} of good parts raise an alarm. More parts (--parts) say it more "
        "exactly."
    )


def _breakdown(title: str, found: dict[str, JsonObject]) -> Table:
    table = Table(title=title, min_width=50)
    table.add_column("")
    table.add_column("caught", justify="right")
    for name, cell in found.items():
        table.add_row(name, f"{cell['caught']} of {cell['parts']}")
    return table


def _text(value: int | None) -> str:
    return "edge-deploy is not installed here" if value is None else str(value)
