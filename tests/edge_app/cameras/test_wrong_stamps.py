"""Stamps that do not run at the host's rate, and frame numbers that cannot be."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from edge_app.cameras.device_clock import DeviceClock
from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.cameras.isolation.frame_ids import GVSP_16_BIT_LAST, MAX_GAP, FrameIdGaps

MS = 1_000_000
S = 1_000 * MS


def ages_ms(
    clock: DeviceClock, rate: float, seconds: float, fps: float = 20.0, jitter_ms: float = 8.0
) -> list[float]:
    """Feed a camera whose stamps run at `rate`; return how old each frame is said to be."""
    rng = np.random.default_rng(5)
    found = []
    for number in range(round(seconds * fps)):
        taken_ns = round(number * S / fps)
        arrived_ns = 900 * S + taken_ns + round(rng.uniform(0, jitter_ms) * MS)
        found.append((arrived_ns - clock.host_ns(7 * S + round(taken_ns * rate), arrived_ns)) / MS)
    return found


@pytest.mark.parametrize("rate", [0.0, 1e-6, 1e-3, 0.09, 0.5, 0.9, 1.1, 2.0, 11.1, 1e3, 1e6])
@pytest.mark.parametrize("fps", [2.0, 5.0, 20.0, 90.0])
def test_a_wrong_rate_is_noticed_and_arrival_counts(rate: float, fps: float) -> None:
    """Standing still, microseconds for nanoseconds, 90 kHz ticks, 10 % off: within some seconds
    frames are dated by their arrival, and it is said at which rate the stamps run."""
    clock = DeviceClock()
    ages = ages_ms(clock, rate, 20.0, fps)
    said = float(clock.wrong.removeprefix("they advance by ").partition(" ")[0])
    assert said == pytest.approx(rate, rel=0.25, abs=0.05)
    assert set(ages[-round(8 * fps) :]) == {0.0}


@pytest.mark.parametrize("fps", [0.5, 2.0, 20.0, 90.0])
@pytest.mark.parametrize("rate", [1 - 2e-4, 1.0, 1 + 2e-4])
def test_a_right_clock_is_believed(rate: float, fps: float) -> None:
    """Crystals 200 ppm apart and 60 ms of jitter are no wrong rate, over minutes."""
    clock = DeviceClock()
    ages = ages_ms(clock, rate, 300.0, fps, jitter_ms=60.0)
    assert clock.wrong == ""
    assert max(ages) > 20
    assert min(ages) >= 0


@pytest.mark.parametrize("frozen_s", [1.0, 3.0, 8.0])
@pytest.mark.parametrize("drain", [3.0, 1.5])
def test_a_stream_that_froze_keeps_its_age(frozen_s: float, drain: float) -> None:
    """Frames let go after a freeze, at once or played faster, are old and not taken for new."""
    clock, fps = DeviceClock(), 25.0
    ages_ms(clock, 1.0, 20.0, fps)
    arrived_s, ages = 920.0 + frozen_s, []
    number = round(20 * fps)
    while arrived_s > 900.0 + number / fps:
        taken_ns = 7 * S + round(number * S / fps)
        arrived_ns = round(arrived_s * S)
        age_s = (arrived_ns - clock.host_ns(taken_ns, arrived_ns)) / S
        ages.append(abs(age_s - (arrived_s - 900.0 - number / fps)))
        number, arrived_s = number + 1, arrived_s + 1 / fps / drain
    assert clock.wrong == ""
    assert max(ages[:20]) < 0.02


def test_a_clock_that_is_right_again_is_believed_again() -> None:
    """After ten steady seconds the stamps count; a new mapping begins."""
    clock = DeviceClock()
    ages_ms(clock, 0.0, 5.0)
    assert clock.wrong
    ages = []
    for number in range(400):
        arrived_ns = 2000 * S + number * 50 * MS + (30 * MS if number % 2 else 0)
        ages.append((arrived_ns - clock.host_ns(50 * S + number * 50 * MS, arrived_ns)) // MS)
    assert clock.wrong == ""
    assert ages[-2:] == [0, 30]


@pytest.mark.parametrize(
    ("ids", "wraps_after", "missing"),
    [
        ([1, 2, 10**10, 4, 5], None, [0, 0, 0, 0, 0]),
        ([1, 2, 10**10, 6], GVSP_16_BIT_LAST, [0, 0, 0, 2]),
        ([1, 2, 10**10, 10**10 + 1, 10**10 + 3], None, [0, 0, 0, 1, 1]),
        ([65534, 65535, 0, 1], GVSP_16_BIT_LAST, [0, 0, 0, 0]),
        ([65533, 0, 2], GVSP_16_BIT_LAST, [0, 2, 1]),
        ([50_000, 3, 50_002], GVSP_16_BIT_LAST, [0, 0, 0]),
        ([70_000, 5, 6], GVSP_16_BIT_LAST, [0, 0, 0]),
        ([500, 1, 2, 4], None, [0, 0, 0, 1]),
        ([9, 9, 9, 12], None, [0, 0, 0, 0]),
        ([1, -5, 3], None, [0, 0, 0]),
    ],
)
def test_numbers_that_cannot_be_cost_nothing(
    ids: list[int], wraps_after: int | None, missing: list[int]
) -> None:
    """A wild number stands for the frame it came with; the count around it goes on."""
    gaps = FrameIdGaps(wraps_after)
    assert [gaps.missing_before(frame_id) for frame_id in ids] == missing


def test_no_numbers_make_a_long_loop() -> None:
    """Whatever numbers come, no gap stands for more than MAX_GAP frames, and none for less than
    none."""
    rng = np.random.default_rng(11)
    for wraps_after in (None, GVSP_16_BIT_LAST):
        gaps = FrameIdGaps(wraps_after)
        for _ in range(20_000):
            wild = int(rng.integers(0, 1 << int(rng.integers(1, 64)), dtype=np.uint64))
            assert 0 <= gaps.missing_before(wild) <= MAX_GAP
            if rng.random() < 0.2:
                gaps.told_as_lost()


def test_wrong_stamps_are_said(caplog: pytest.LogCaptureFixture) -> None:
    """A camera whose stamps stand still is named in the log once; frames carry their arrival."""
    module = "tests.edge_app.cameras.odd_drivers"
    driver = IsolatedDriver("odd:", module, {"odd": "Steady", "rate": 0.0, "period_s": 0.02})
    camera = IsolatedCamera(driver, "cam1")
    with caplog.at_level(logging.WARNING):
        camera.open()
        frames = [camera.read(5.0) for _ in range(200)]
        camera.close()
    (told,) = [r.getMessage() for r in caplog.records if "time stamps" in r.getMessage()]
    assert "camera cam1: its time stamps do not run like this machine's clock" in told
    assert len({f.monotonic_ns for f in frames[-20:]}) == 20
