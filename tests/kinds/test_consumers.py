"""Every consumer × every kind of bad bytes: it refuses them in words and takes the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from consumer_sites import ROOT, consumer_sites
from registry import Consumer, registered
from support.mutations import RAW, mutated

TRIED = [c for c in registered() if c.take is not None]


def test_every_consumer_is_registered() -> None:
    """A new place that parses outside bytes has to be tried here, or say where it is."""
    missing = consumer_sites() - {consumer.site for consumer in registered()}
    assert not missing, f"register in tests/kinds/consumers_SUBJECT.py: {sorted(missing)}"


def test_no_consumer_is_registered_that_is_gone() -> None:
    """A site that moved is renamed here; each one is registered once, and tried somewhere."""
    sites = [consumer.site for consumer in registered()]
    assert set(sites) <= consumer_sites()
    assert len(sites) == len(set(sites))
    for consumer in registered():
        assert (consumer.take is None) == bool(consumer.tested_in)
        assert not consumer.tested_in or (ROOT / consumer.tested_in).exists()


@pytest.fixture(params=TRIED, ids=lambda consumer: consumer.site)
def consumer(request: pytest.FixtureRequest) -> Consumer:
    found: Consumer = request.param
    return found


def taken(consumer: Consumer, payload: bytes, folder: Path) -> bool:
    assert consumer.take is not None
    return consumer.take(payload, folder)


def good(consumer: Consumer) -> bytes:
    assert consumer.good is not None
    return consumer.good()


def test_bytes_that_are_nothing_are_refused(consumer: Consumer, tmp_path: Path) -> None:
    """Empty, deep, cut, not UTF-8, numbers without an end."""
    for payload in RAW:
        taken(consumer, payload, tmp_path)
        taken(consumer, good(consumer), tmp_path)


@pytest.mark.parametrize("count", [150, pytest.param(2_000, marks=pytest.mark.slow)])
def test_mutated_bytes_cost_themselves_only(consumer: Consumer, tmp_path: Path, count: int) -> None:
    """Flipped, cut, with odd values; what is good afterwards is taken as before."""
    whole = good(consumer)
    assert taken(consumer, whole, tmp_path)
    for seed in range(count):
        taken(consumer, mutated(whole, seed), tmp_path)
    assert taken(consumer, whole, tmp_path)
