"""Which marked parts are learnt from, and which marks are dropped and named: without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.feedback_sets import FeedbackWriter

from edge_app.errors import DataError
from export.feedback.records import read_provenance
from export.feedback_build.contradictions import (
    BOTH_WAYS,
    FEWEST_ALONE,
    LIKE_GOOD,
    MOST_ALONE,
    MOST_NAMED,
    ODD_GOOD,
    TOO_ODD,
    USUAL_DEFECT,
    Contradiction,
    alone_among,
    contradicted_by_models,
    marked_both_ways,
    refuse_alone,
    refuse_many,
)
from export.feedback_build.marked_parts import MarkedPart, MarkedParts, read_marked_parts
from export.feedback_build.selection import (
    ALONE,
    BASE_PER_PART,
    CAPPED,
    COPY,
    KEEP_BACK,
    KEPT_BACK,
    MOST_PER_HOUR,
    TRAINED,
    is_kept_back,
    select,
)


def picture(seed: int) -> np.ndarray:
    """Return a picture that is no near-duplicate of another seed's."""
    coarse = np.random.default_rng(seed).integers(30, 220, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (80, 60), interpolation=cv2.INTER_CUBIC), np.uint8)


def marked(folder: Path, *adds: tuple[int, str, Mapping[str, Any]]) -> MarkedParts:
    writer = FeedbackWriter(folder)
    for seed, use, more in adds:
        writer.add(picture(seed), use, **more)
    return read_marked_parts(folder, "tiles")


def goods(folder: Path, count: int, hours: int = 8) -> tuple[MarkedPart, ...]:
    return marked(folder, *((n, "good", {"hour": n % hours}) for n in range(count))).goods


def test_a_third_is_kept_back_and_stays_so_when_more_are_marked(tmp_path: Path) -> None:
    """Every part is learnt from or kept back; the next pull turns none of the kept back ones."""
    first = select(goods(tmp_path / "a", 24), 1000)
    later = select(goods(tmp_path / "b", 60), 1000)
    counts = Counter(first.roles.values())
    assert set(counts) == {TRAINED, KEPT_BACK}
    assert 2 <= counts[KEPT_BACK] <= 16
    assert all(later.roles[digest] == role for digest, role in first.roles.items())


def test_few_marks_are_all_learnt_from(tmp_path: Path) -> None:
    """With fewer different parts than one in KEEP_BACK none is kept back."""
    found = select(goods(tmp_path, KEEP_BACK - 1), 1000)
    assert list(found.roles.values()) == [TRAINED] * (KEEP_BACK - 1)


def test_one_hour_of_one_camera_and_cause_gives_a_few(tmp_path: Path) -> None:
    """Over the cap parts are not learnt from; another hour and another cause have their own."""
    parts = marked(
        tmp_path,
        *((n, "good", {"hour": 7}) for n in range(40)),
        *((n, "good", {"hour": 8}) for n in range(40, 44)),
        *((n, "good", {"hour": 7, "verdict": "OK"}) for n in range(44, 48)),
    ).goods
    found = select(parts, 1000)
    counts = Counter((p.hour, p.record.verdict, found.of(p)) for p in parts)
    assert counts["2026-11-30T07", "NG", TRAINED] == MOST_PER_HOUR
    assert counts["2026-11-30T07", "NG", CAPPED] >= 1
    for hour, verdict in (("2026-11-30T08", "NG"), ("2026-11-30T07", "OK")):
        own = [p for p in parts if (p.hour, p.record.verdict) == (hour, verdict)]
        assert not any(found.of(p) == CAPPED for p in own)


def test_marked_parts_stay_few_beside_the_data_set(tmp_path: Path) -> None:
    """At most one joins for BASE_PER_PART good parts that a person photographed."""
    found = select(goods(tmp_path, 30, hours=24), 5 * BASE_PER_PART)
    assert found.counts()[TRAINED] == 5


def test_near_duplicates_count_once_and_share_a_side(tmp_path: Path) -> None:
    """Of ten frames of one part one is learnt from, or all are kept back."""
    writer = FeedbackWriter(tmp_path)
    for seed in range(8):
        for brighter in range(3):
            writer.add(np.clip(picture(seed).astype(int) + brighter, 0, 255).astype(np.uint8))
    parts = read_marked_parts(tmp_path, "tiles").goods
    found = select(parts, 1000)
    by_group: dict[str, set[str]] = {}
    for part in parts:
        by_group.setdefault(part.group, set()).add(found.of(part))
    assert len(by_group) == 8
    assert all(roles in ({TRAINED, COPY}, {KEPT_BACK}) for roles in by_group.values())
    assert {KEPT_BACK} in by_group.values()
    assert all((roles == {KEPT_BACK}) == is_kept_back(g) for g, roles in by_group.items())


def test_what_is_no_use_is_left_out_and_counted(tmp_path: Path) -> None:
    """Disputed parts, another product's and a damaged picture join nothing, and are told."""
    writer = FeedbackWriter(tmp_path)
    writer.add(picture(1))
    writer.add(picture(2), "disputed")
    writer.add(picture(3), product="bolts")
    damaged = writer.add(picture(4))
    writer.add(picture(5), is_accepted=False)
    (tmp_path / damaged.file).write_bytes(b"something else")
    found = read_marked_parts(tmp_path, "tiles")
    assert len(found.parts) == 2
    assert found.left_out == {"disputed": 1, "of another product": 1}
    assert (found.damaged, found.proposals) == ((damaged.file,), 1)


def test_a_set_of_another_product_is_refused_with_its_name(tmp_path: Path) -> None:
    """Who builds under another name is told which name the set knows."""
    FeedbackWriter(tmp_path, "bolts").add(picture(1))
    with pytest.raises(DataError, match="products are bolts: name one with --product"):
        read_marked_parts(tmp_path, "tiles")
    with pytest.raises(DataError, match="edge-export pull made"):
        read_marked_parts(tmp_path / "nothing", "tiles")


def test_the_same_picture_marked_both_ways_is_named_on_both_sides(tmp_path: Path) -> None:
    """A near-duplicate with the other mark, and a picture of the data set's other side."""
    writer = FeedbackWriter(tmp_path)
    writer.add(picture(1), "good", who="anna")
    other = np.clip(picture(1).astype(int) + 1, 0, 255).astype(np.uint8)
    writer.add(other, "defect", who="ben")
    writer.add(picture(2), "good")
    known = writer.add(picture(3), "good")
    alike = writer.add(picture(4), "defect")
    parts = read_marked_parts(tmp_path, "tiles").parts
    found = marked_both_ways(parts, {alike.sha256: "007.png"}, {known.sha256: "crack/1.png"})
    words = "\n".join(one.words() for one in found)
    assert {one.why for one in found} == {BOTH_WAYS}
    assert len(found) == 4
    for said in ("by anna", "by ben", "007.png", "crack/1.png", "belt-1-000001"):
        assert said in words


def test_models_deny_an_odd_good_part_and_a_usual_defect(tmp_path: Path) -> None:
    """Far above the limit though the others vouch for it; below the middle and never alarmed."""
    found = marked(
        tmp_path,
        (1, "good", {}), (2, "good", {}), (3, "defect", {"verdict": "OK"}),
        (4, "defect", {"verdict": "OK"}), (5, "defect", {"verdict": "NG"}),
    )  # fmt: skip
    by_part = {p.record.part_id[-1]: p.record.sha256 for p in found.parts}
    shares = {
        by_part["1"]: TOO_ODD - 0.01, by_part["2"]: TOO_ODD + 0.01,
        by_part["3"]: LIKE_GOOD + 0.01, by_part["4"]: LIKE_GOOD - 0.01,
        by_part["5"]: LIKE_GOOD - 0.01,
    }  # fmt: skip
    denied = contradicted_by_models(found.parts, shares, {by_part["5"]})
    assert {(one.part.record.part_id[-1], one.why) for one in denied} == {
        ("2", ODD_GOOD),
        ("4", USUAL_DEFECT),
    }
    assert contradicted_by_models(found.parts, {}, set()) == []


def test_many_contradictions_refuse_the_marks_and_name_each(tmp_path: Path) -> None:
    """Three of ten wrong marks stop the build, with file, part and people; one is a slip."""
    parts = goods(tmp_path, 10)
    wrong = [Contradiction(part, ODD_GOOD, "is odd") for part in parts]
    refuse_many(wrong[:1], 3)
    refuse_many(wrong[:2], int(2 / MOST_NAMED))
    with pytest.raises(DataError, match="3 of 10 marks contradict") as refused:
        refuse_many(wrong[:3], 10)
    for part in parts[:3]:
        assert f"{part.record.file} (part {part.record.part_id}, marked by anna) is odd" in str(
            refused.value
        )


def test_what_pull_writes_is_what_a_build_reads(tmp_path: Path) -> None:
    """The writer of these tests is the puller's own."""
    FeedbackWriter(tmp_path).add(picture(1), "defect", defect_class="crack")
    (record,) = read_provenance(tmp_path).values()
    assert record.file.startswith("test/crack/press-3-belt-1-000001")


def test_the_same_bytes_as_two_parts_are_learnt_from_once(tmp_path: Path) -> None:
    """A frame that was kept for two parts: one role, and it is not that of a copy."""
    found = select(marked(tmp_path, (1, "good", {}), (1, "good", {})).goods, 1000)
    assert list(found.roles.values()) == [TRAINED]


def test_false_alarms_that_no_other_mark_vouches_for_are_alone(tmp_path: Path) -> None:
    """Those at or above the limit, of the false alarms only; without a score none is."""
    parts = marked(
        tmp_path,
        *((n, "good", {}) for n in range(3)),
        (3, "good", {"verdict": "OK"}),
        (4, "defect", {}),
    ).parts
    shares = {p.record.sha256: 1.2 for p in parts}
    first, second, *_ = [p.record.sha256 for p in parts if p.is_false_alarm]
    shares[first] = 0.99
    del shares[second]
    assert len(alone_among(parts, shares)) == 1
    assert alone_among(parts, {}) == []


def test_too_many_alone_are_refused_with_all_names(tmp_path: Path) -> None:
    """More than MOST_ALONE of the false alarms, and no fewer than FEWEST_ALONE."""
    parts = goods(tmp_path, 8)
    digests = [p.record.sha256 for p in parts]
    refuse_alone(parts, digests[: int(MOST_ALONE * 8)])
    refuse_alone(parts[: FEWEST_ALONE - 1], digests[: FEWEST_ALONE - 1])
    with pytest.raises(DataError, match="3 of 8 false alarms") as refused:
        refuse_alone(parts, digests[:3])
    assert all(p.words() in str(refused.value) for p in parts[:3])
    assert not any(p.words() in str(refused.value) for p in parts[3:])


def test_what_is_alone_is_not_learnt_from_and_neither_are_its_copies(tmp_path: Path) -> None:
    """Both become evidence that the model never saw; what was kept back stays so."""
    writer = FeedbackWriter(tmp_path)
    for seed in range(8):
        for brighter in range(2):
            writer.add(np.clip(picture(seed).astype(int) + brighter, 0, 255).astype(np.uint8))
    parts = read_marked_parts(tmp_path, "tiles").goods
    found = select(parts, 1000)
    learnt = next(p for p in parts if found.of(p) == TRAINED)
    kept = next(p for p in parts if found.of(p) == KEPT_BACK)
    less = found.without({learnt.record.sha256, kept.record.sha256}, parts)
    changed = {p.record.sha256 for p in parts if less.of(p) != found.of(p)}
    assert changed == {p.record.sha256 for p in parts if p.group == learnt.group}
    assert all(less.of(p) == ALONE and less.is_unseen(p) for p in parts if p.group == learnt.group)
