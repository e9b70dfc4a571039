"""The sample does not depend on verdicts: once a drawn good part's picture would not be kept, a
drawn bad part, whose picture its alert keeps, is not in it either."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.alert_drafts import bad_part
from support.brokers import wait_until

from edge_app.alerts.evidence import EvidenceStore
from edge_app.alerts.evidence_worker import EvidenceWorker, Picture
from edge_app.alerts.keep_limits import PER_DAY, PER_HOUR, KeepLimits
from edge_app.alerts.sidecar import PictureFacts
from edge_app.records import (
    Evidence,
    Frame,
    FrameReport,
    KeepReason,
    KeptPart,
    PartVerdict,
    VerdictState,
)

NUMBER = 3
Told = dict[str, tuple[KeepReason, ...]]


def store_in(folder: Path, number: int = NUMBER) -> EvidenceStore:
    limits = KeepLimits({**PER_HOUR, "random": number}, {**PER_DAY, "random": number})
    return EvidenceStore(folder, 24, 10**8, 85, "http://device", limits=limits)


def offer_bad(worker: EvidenceWorker, number: int, told: Told, side: int = 48) -> None:
    part = bad_part(number)

    def done(evidence: Evidence | None, reasons: tuple[KeepReason, ...]) -> None:
        assert evidence is not None
        told[part.part_id] = reasons

    pixels = np.full((side, side, 3), number, np.uint8)
    facts = PictureFacts(part, ("ng", "random"))
    worker.offer(Picture(part.part_id, pixels, done, facts=facts))


def offer_good(
    worker: EvidenceWorker, number: int, told: Told, *more: KeepReason, side: int = 48
) -> None:
    part = replace(bad_part(number), state=VerdictState.OK)
    frame = Frame("cam1", number, np.full((side, side, 3), number, np.uint8), 0)
    kept = KeptPart(part, frame, (*more, "random"))

    def on_kept(part: PartVerdict, reasons: tuple[KeepReason, ...], _kept: Evidence) -> None:
        told[part.part_id] = reasons

    worker.offer_kept(FrameReport(frame, (), {}, {}, {}, (), (), kept=(kept,)), on_kept)


def test_bad_parts_leave_the_sample_when_good_ones_do(tmp_path: Path) -> None:
    """As many drawn good parts as an hour takes, and bad ones before and after."""
    worker, told = EvidenceWorker(store_in(tmp_path)), Told()
    worker.start()
    offer_bad(worker, 1, told)
    for number in range(2, 4 + NUMBER):
        offer_good(worker, number, told)
    offer_bad(worker, 20, told)
    offer_good(worker, 21, told, "suspect")
    wait_until(lambda: worker.is_idle)
    worker.stop()
    in_sample = [part for part, reasons in told.items() if "random" in reasons]
    assert in_sample == [bad_part(n).part_id for n in range(1, 2 + NUMBER)]
    assert told[bad_part(20).part_id] == ("ng",)
    assert told[bad_part(21).part_id] == ("suspect",)
    (sidecar,) = tmp_path.glob(f"*/{bad_part(20).part_id}.json")
    found = json.loads(sidecar.read_text())
    assert (found["kept_for"], found["sample"]["is_drawn"]) == (["ng"], False)


def test_a_crowd_that_costs_good_pictures_costs_bad_parts_their_place(tmp_path: Path) -> None:
    """Alerts' pictures wait where others have no room left: such a part is not in the sample."""
    side, told = 2000, Told()  # 12 MB each: two are within MAX_OTHER_BYTES
    worker = EvidenceWorker(store_in(tmp_path, 100))
    offer_good(worker, 1, told, side=side)
    offer_bad(worker, 2, told, side)
    offer_good(worker, 3, told, side=side)
    offer_bad(worker, 4, told, side)
    worker.start()
    wait_until(lambda: worker.is_idle)
    worker.stop()
    assert told == {
        bad_part(1).part_id: ("random",),
        bad_part(2).part_id: ("ng", "random"),
        bad_part(4).part_id: ("ng",),
    }


@pytest.mark.parametrize("number", [0, 2])
def test_without_room_for_a_sample_there_is_none(tmp_path: Path, number: int) -> None:
    worker, told = EvidenceWorker(store_in(tmp_path, number)), Told()
    worker.start()
    for part in range(1, 5):
        offer_good(worker, part, told)
    offer_bad(worker, 9, told)
    wait_until(lambda: worker.is_idle)
    worker.stop()
    assert sum("random" in reasons for reasons in told.values()) == number
    assert told[bad_part(9).part_id] == ("ng",)
