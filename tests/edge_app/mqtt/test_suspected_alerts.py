"""Alerts that were on their way when a connection ended go one at a time; no others do."""

from __future__ import annotations

from pathlib import Path

from support.accepting_broker import AcceptingBroker
from support.alert_drafts import draft

from edge_app.mqtt.connection import Acked, Lost
from edge_app.mqtt.delivery import WINDOW
from edge_app.mqtt.outbox import Outbox


def _lose_memory_alerts(broker: AcceptingBroker, outbox: Outbox) -> list[int]:
    """Have alerts told from memory, and the connection end while they are on their way."""
    drafts = [draft(n) for n in range(WINDOW)]
    outbox.tell_from_memory(drafts[:1])
    broker.takes()
    outbox.tell_from_memory(drafts)
    broker.delivery.pump()
    keys = [flight.seq for flight in broker.delivery._flights.values()]
    assert len(keys) == WINDOW - 1
    broker.delivery.lost(Lost("the network went", 0))
    broker._sent.clear()
    broker.delivery.resume()
    outbox.append(drafts)  # the disk is well again: they are told as stored ones now
    return keys


def test_after_alerts_from_memory_were_lost_stored_ones_go_as_before(tmp_path: Path) -> None:
    """Their places are above every stored number: they say nothing about what is stored."""
    outbox = Outbox(tmp_path / "outbox.sqlite", reserve_bytes=0)
    broker = AcceptingBroker(outbox)
    _lose_memory_alerts(broker, outbox)
    assert len(broker.takes()) == WINDOW - 1
    outbox.append([draft(n) for n in range(3 * WINDOW)])
    broker.delivery.pump()
    assert len(broker.delivery._flights) == WINDOW
    outbox.close()


def test_alerts_from_memory_that_were_lost_go_one_at_a_time(tmp_path: Path) -> None:
    """One of them may be why the connection ended; those behind them go as before."""
    outbox = Outbox(tmp_path / "outbox.sqlite", reserve_bytes=0)
    broker = AcceptingBroker(outbox)
    drafts = [draft(n) for n in range(3)]
    outbox.tell_from_memory(drafts[:1])
    broker.takes()
    outbox.tell_from_memory(drafts[1:])
    broker.delivery.pump()
    broker.delivery.lost(Lost("the network went", 0))
    broker._sent.clear()
    broker.delivery.resume()
    outbox.tell_from_memory([draft(n) for n in range(10, 10 + WINDOW)])
    sizes = []
    for _ in range(8):
        broker.delivery.pump()
        sizes.append(len(broker.delivery._flights))
        sent, broker._sent = broker._sent, []
        for mid, _payload in sent:
            broker.delivery.acked(Acked(mid, None))
    assert sizes[:3] == [1, 1, 1]  # the probe, then one each
    assert max(sizes) > 1
    outbox.close()
