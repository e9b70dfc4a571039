"""The demo's summary: the line's results against the simulator's ground truth."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

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
    for title, key in (("By kind", "recall_by_kind"), ("By defect size", "recall_by_size")):
        if summary[key]:
            console.print(_breakdown(title, summary[key]))


def _rows(summary: JsonObject) -> list[tuple[str, str]]:
    good = summary["parts"] - summary["defective"]
    rows = [
        ("Parts judged", str(summary["parts"])),
        ("Defective, caught", f"{summary['caught']} of {summary['defective']}"),
        ("False alarms (good parts)", f"{summary['false_alarms']} of {good}"),
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


def _breakdown(title: str, found: dict[str, JsonObject]) -> Table:
    table = Table(title=title, min_width=50)
    table.add_column("")
    table.add_column("caught", justify="right")
    for name, cell in found.items():
        table.add_row(name, f"{cell['caught']} of {cell['parts']}")
    return table


def _text(value: int | None) -> str:
    return "edge-deploy is not installed here" if value is None else str(value)
