"""Stories of alerts arriving twice, late, early or not at all."""

from __future__ import annotations

from deploy.watch.order import Ordered, SeenIds, SeqOrder


def items(ordered: list[Ordered[str]]) -> list[str]:
    return [turn.item for turn in ordered]


def test_an_id_is_new_once() -> None:
    """The second message with an id is a duplicate."""
    seen = SeenIds()
    assert [seen.is_new(i) for i in ("a", "b", "a", "b", "c")] == [True, True, False, False, True]


def test_memory_is_bounded_and_keeps_what_was_seen_last() -> None:
    """Beyond the limit the id that was seen longest ago is forgotten."""
    seen = SeenIds(max_ids=2)
    assert [seen.is_new(i) for i in ("a", "b", "a", "c", "a", "b")] == [
        True, True, False, True, False, True,
    ]  # fmt: skip


def test_an_alert_that_overtook_another_waits_for_it() -> None:
    """3 before 2 is shown as 2, 3."""
    order: SeqOrder[str] = SeqOrder(hold_s=2.0)
    assert items(order.offer("press", 1, "one", 0.0)) == ["one"]
    assert order.offer("press", 3, "three", 0.1) == []
    assert order.overdue(1.0) == []
    assert items(order.offer("press", 2, "two", 1.1)) == ["two", "three"]


def test_a_missing_alert_is_named_after_a_while() -> None:
    """2 and 3 never come: 4 is shown with what is missing, 5 follows, 3 is late."""
    order: SeqOrder[str] = SeqOrder(hold_s=2.0)
    order.offer("press", 1, "one", 0.0)
    order.offer("press", 5, "five", 0.0)
    order.offer("press", 4, "four", 0.5)
    shown = order.overdue(2.0)
    assert shown == [Ordered("four", missing=(2, 3)), Ordered("five")]
    assert order.offer("press", 3, "three", 3.0) == [Ordered("three", is_late=True)]
    assert order.overdue(9.0) == []


def test_devices_do_not_wait_for_each_other() -> None:
    """Each device has its own numbers, beginning wherever the watcher joined."""
    order: SeqOrder[str] = SeqOrder()
    assert items(order.offer("a", 100, "a100", 0.0)) == ["a100"]
    assert order.offer("a", 102, "a102", 0.0) == []
    assert items(order.offer("b", 7, "b7", 0.0)) == ["b7"]


def test_many_gaps_are_passed_at_once() -> None:
    """Every second number is missing: all that waited too long is shown in one go, in order."""
    order: SeqOrder[int] = SeqOrder(hold_s=2.0)
    assert [turn.item for turn in order.offer("a", 1, 1, 0.0)] == [1]
    for seq in range(3, 1000, 2):
        assert order.offer("a", seq, seq, 0.0) == []
    turns = order.overdue(2.0)
    assert [turn.item for turn in turns] == list(range(3, 1000, 2))
    assert [turn.missing for turn in turns] == [(seq - 1, seq - 1) for seq in range(3, 1000, 2)]
    assert order.overdue(99.0) == []


def test_a_number_whose_alert_was_shown_before_is_not_missing() -> None:
    """2 came with an alert that was told from memory already: nobody waits for it."""
    order: SeqOrder[str] = SeqOrder(hold_s=2.0)
    order.offer("press", 1, "one", 0.0)
    assert order.pass_over("press", 2) == []
    assert order.offer("press", 3, "three", 0.1) == [Ordered("three")]
    assert order.pass_over("press", 2) == order.pass_over("press", 3) == []
    assert order.offer("press", 5, "five", 0.2) == []
    assert items(order.pass_over("press", 4)) == ["five"]


def test_a_gap_beside_numbers_that_were_shown_before_is_named() -> None:
    """Of 2 to 5 only 3 and 4 are missing; a number sent again while it is held is held on."""
    order: SeqOrder[str] = SeqOrder(hold_s=2.0)
    order.offer("press", 1, "one", 0.0)
    order.offer("press", 6, "six", 0.0)
    for seq in (6, 5, 2):
        assert order.pass_over("press", seq) == []
    assert order.overdue(2.0) == [Ordered("six", missing=(3, 4))]
    assert order.offer("press", 2**60, "far", 3.0) == []
    assert order.overdue(5.0) == [Ordered("far", missing=(7, 2**60 - 1))]
