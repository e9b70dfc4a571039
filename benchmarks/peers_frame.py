"""A frame with one part beside Ultralytics and anomalib, put together of their turns.

Used by `benchmarks.peers_anomalib`.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.detector_sides import Latency, median_turn


def frame_table(
    pairs: Sequence[tuple[str, Sequence[Latency], Sequence[Latency]]],
    ours: Sequence[Latency],
    ultralytics: Sequence[Latency],
    line_outside_ms: float,
) -> Table:
    """Return the table of a frame with one part.

    Args:
        pairs: inspectors' name, our turns, anomalib's turns.
        ours, ultralytics: turns of the detectors.
        line_outside_ms: of our whole line, for people.
    """
    table = Table(
        title="A frame with one part, CPU ms: detector and inspector with all around them\n"
        f"(our line's crop, registration, following and verdict come to {line_outside_ms:.2f} ms "
        "outside the models, detector's and inspector's included; neither peer has these)"
    )
    for number, head in enumerate(("", "ours", "Ultralytics + anomalib", "ratio")):
        table.add_column(head, justify="left" if number == 0 else "right")
    detectors = median_turn(ours), median_turn(ultralytics)
    _add(table, "detector: outside", detectors[0].outside, detectors[1].outside)
    for name, mine, theirs in pairs:
        sides = [
            (d, median_turn(turns)) for d, turns in zip(detectors, (mine, theirs), strict=True)
        ]
        _add(table, f"{name}: outside the models", *(d.outside + i.outside for d, i in sides))
        _add(table, f"{name}: whole calls", *(d.whole + i.whole for d, i in sides))
    return table


def _add(table: Table, name: str, ours: float, theirs: float) -> None:
    table.add_row(name, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}")
