"""How `watch` orders alerts of several numberings, and what it says of numbers that are missing."""

from __future__ import annotations

import pytest

from deploy.watch.run import _missing_text


@pytest.mark.parametrize(
    ("skipped_from", "words"),
    [
        (None, "seq 5..9 missing: the outbox was replaced?"),
        (5, "seq 5..9 left out by the device after a power cut"),
        (2, "seq 5..9 left out by the device after a power cut"),
        (8, "seq 5..7 missing; up to 9 left out after a power cut"),
    ],
)
def test_numbers_that_the_device_left_out_are_not_missing(
    skipped_from: int | None, words: str
) -> None:
    """A device names the first number that it left out after a power cut."""
    assert _missing_text(5, 9, skipped_from) == words
