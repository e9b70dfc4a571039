"""What is shown of a camera, over every combination of facts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import get_args

import pytest

from edge_app.mqtt.device_messages import CameraStateName
from edge_app.page.words import camera_words
from edge_app.shown_state import (
    LEVELS,
    CameraFacts,
    CaptureFact,
    StateName,
    WireName,
    shown_state,
)

CAPTURES: tuple[CaptureFact, ...] = get_args(CaptureFact)


def every_combination() -> Iterator[CameraFacts]:
    texts = ("", "the cable is out")
    for capture, reason, paused, bundle, engine, update in itertools.product(
        CAPTURES, texts, (False, True), (False, True), ("", "no engine"), ("", "being compared")
    ):
        yield CameraFacts(capture, reason, paused, "left", bundle, engine, update)


def test_green_means_that_a_part_passing_now_gets_its_verdict() -> None:
    """Over all 288 combinations: green only where pictures come, or a trigger is waited for, and
    nothing else is wrong; ended, stalled, unreachable, blind and starting ones never are."""
    count = 0
    for facts in every_combination():
        shown = shown_state(facts)
        is_all_well = (
            facts.capture in ("capturing", "waiting_for_trigger")
            and facts.has_bundle
            and not facts.is_paused
            and not facts.engine_missing
        )
        assert (shown.level == "good") == is_all_well, facts
        assert not (shown.level == "good" and not shown.is_inspecting)
        count += 1
    assert count == 9 * 2**5


def test_nothing_is_inspected_without_pictures_bundle_or_while_paused() -> None:
    """Only then a last verdict may stand on the page."""
    seeing = ("capturing", "impaired", "waiting_for_trigger")
    for facts in every_combination():
        expected = facts.capture in seeing and facts.has_bundle and not facts.is_paused
        assert shown_state(facts).is_inspecting == expected, facts


def test_every_fact_that_is_not_as_it_should_be_is_said() -> None:
    """The reason is the present one, and none hides another; with nothing to say it is empty."""
    for facts in every_combination():
        reason = shown_state(facts).reason
        assert facts.reason in reason
        assert facts.engine_missing in reason
        assert facts.update in reason
        assert ("paused" in reason) == facts.is_paused
        assert ("slot left has no bundle" in reason) == (not facts.has_bundle)
        assert "\n" not in reason


def test_a_source_from_which_nothing_comes_is_named_first() -> None:
    """A camera that cannot be reached is that, whatever else is missing."""
    facts = CameraFacts("reconnecting", "no route to 10.0.0.7", True, "left", False, "no engine")
    shown = shown_state(facts)
    assert shown.state == "reconnecting"
    assert shown.reason.startswith("no route to 10.0.0.7; paused")


def test_mqtt_carries_the_names_that_release_0_1_0_knows() -> None:
    """Whoever listens since then meets no new word; none of them is a good one for a bad state."""
    assert set(get_args(WireName)) == set(get_args(CameraStateName))
    for facts in every_combination():
        shown = shown_state(facts)
        is_green_there = shown.wire in ("capturing", "waiting_for_trigger")
        assert is_green_there == (shown.level == "good"), facts


@pytest.mark.parametrize("state", get_args(StateName))
def test_the_page_has_words_for_every_state(state: StateName) -> None:
    """No name of the code reaches a person."""
    assert set(LEVELS) == set(get_args(StateName))
    words = camera_words(state, "", None)
    assert words
    assert "_" not in words
