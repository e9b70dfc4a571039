"""The rules of stalls, back-off and states, told the time."""

from __future__ import annotations

import logging

import pytest

from edge_app.cameras.capture_state import CameraState, CaptureState
from edge_app.cameras.protocol import CameraMode

S = 1_000_000_000


def make(mode: CameraMode) -> tuple[CaptureState, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    state = CaptureState(
        "cam1",
        mode,
        stall_after_s=5.0,
        reconnect_max_s=3.0,
        on_state=lambda new, why: told.append((new.value, why)),
    )
    return state, told


def test_live_source_stalls_after_its_deadline() -> None:
    """Silence counts from the last frame; 4.9 s is not yet a stall, 5 s is."""
    state, _ = make("live")
    state.opened(0)
    state.frame_came(10 * S)
    assert not state.nothing_came(int(14.9 * S))
    assert state.nothing_came(15 * S)


def test_live_source_that_never_shows_anything_stalls_too() -> None:
    """Silence counts from opening when no frame came at all."""
    state, _ = make("live")
    state.opened(100 * S)
    assert not state.nothing_came(104 * S)
    assert state.nothing_came(105 * S)


@pytest.mark.parametrize("mode", ["triggered", "file"])
def test_silence_of_others_is_no_stall(mode: CameraMode) -> None:
    """A triggered camera may wait for hours; a paced folder, too."""
    state, _ = make(mode)
    state.opened(0)
    assert not state.nothing_came(36_000 * S)


def test_triggered_source_waits_for_its_trigger() -> None:
    """It is waiting at once after opening, and after 2 s without a part, not between parts."""
    state, told = make("triggered")
    state.opened(0)
    state.nothing_came(1 * S)
    state.frame_came(2 * S)
    state.nothing_came(3 * S)
    state.frame_came(4 * S)
    state.nothing_came(6 * S)
    assert [new for new, _ in told] == ["waiting_for_trigger", "capturing", "waiting_for_trigger"]


def test_back_off_doubles_up_to_its_cap_and_starts_again() -> None:
    """0.5, 1, 2, 3, 3 s; after a frame 0.5 s again."""
    state, _ = make("live")
    assert [state.lost("gone") for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    state.opened(0)
    assert state.lost("gone") == 3.0  # opening alone proves nothing
    state.frame_came(0)
    assert state.lost("gone") == 0.5


def test_states_are_told_once_with_their_reason() -> None:
    """capturing → stalled → reconnecting → capturing, without repeats."""
    state, told = make("live")
    state.frame_came(0)
    state.frame_came(1)
    state.stalled()
    state.stalled()
    state.lost("no such device")
    state.lost("no such device")
    state.frame_came(2)
    assert told == [
        ("capturing", ""),
        ("stalled", "no frame for 5 s; it is opened again"),
        ("reconnecting", "no such device"),
        ("capturing", ""),
    ]


def test_end_is_told() -> None:
    """A finite source ends with its own sentence."""
    state, told = make("file")
    state.ended("all 3 pictures shown")
    assert state.state is CameraState.ENDED
    assert told == [("ended", "all 3 pictures shown")]


def test_first_failure_warns_repeats_are_quiet_recovery_informs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One WARNING and one INFO per outage, however long it lasts."""
    state, _ = make("live")
    with caplog.at_level(logging.DEBUG):
        state.lost("gone")
        state.lost("gone")
        state.lost("gone")
        state.frame_came(0)
        state.frame_came(1)
        state.lost("gone")
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "DEBUG", "DEBUG", "INFO", "WARNING"]


def test_a_changed_reason_is_news_and_other_figures_are_not() -> None:
    """Unreachable from the start, then for another reason: both are told, once each, and logged as
    warnings; the same reason with another number is no news."""
    state, told = make("live")
    for why in (
        "no route",
        "no route",
        "it refuses the login",
        "no frame for 5 s",
        "no frame for 7 s",
    ):
        state.lost(why)
    assert told == [
        ("reconnecting", "no route"),
        ("reconnecting", "it refuses the login"),
        ("reconnecting", "no frame for 5 s"),
    ]
