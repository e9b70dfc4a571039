"""A camera's stamps on the host's clock."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.cameras.device_clock import DeviceClock

MS = 1_000_000
S = 1_000 * MS


def test_jitter_of_the_transfer_drops_out() -> None:
    """Frames taken every 100 ms arrive 5 to 60 ms later: mapped, they are 100 ms apart again."""
    rng = np.random.default_rng(3)
    clock, mapped = DeviceClock(), []
    for number in range(300):
        device_ns = 7 * S + number * 100 * MS
        delay_ns = 5 * MS + int(rng.uniform(0, 55 * MS))
        mapped.append(clock.host_ns(device_ns, 900 * S + number * 100 * MS + delay_ns))
    steps_ms = np.diff(mapped[100:]) / MS
    assert steps_ms == pytest.approx(np.full(len(steps_ms), 100.0), abs=3)


def test_a_frame_is_never_later_than_its_arrival() -> None:
    """A clock that drifts by 100 ppm either way never puts a capture into the future."""
    for drift in (1 - 1e-4, 1 + 1e-4):
        clock = DeviceClock()
        for number in range(1000):
            arrived_ns = 900 * S + number * 100 * MS
            taken_ns = clock.host_ns(round(number * 100 * MS * drift), arrived_ns)
            assert -2 * MS <= taken_ns - arrived_ns <= 0


def test_a_camera_switched_off_and_on_starts_a_new_clock() -> None:
    """Its stamps begin at zero again; the next frame is mapped to now, not to the past."""
    clock = DeviceClock()
    clock.host_ns(5000 * S, 100 * S)
    assert clock.host_ns(1 * S, 130 * S) == 130 * S
