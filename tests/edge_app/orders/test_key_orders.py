"""Orders in the name of an operator's key: from the agent's account, and nothing but marks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.order_makers import OWN, order, person
from support.review_rig import ReviewRig, four_parts

from edge_app.audit.reader import every_record
from edge_app.errors import ConfigError, OrderError
from edge_app.ipc import order_server, peers
from edge_app.ipc.order_client import OrderClient
from edge_app.ipc.order_server import OrderServer
from edge_app.ipc.peers import Peer, is_agent
from edge_app.orders import desk

AGENT, PAGE = Peer(7, 4242, 4242), Peer(8, 4343, 4343)
KEY = {"kind": "key", "name": "anna 0123456789abcdef"}
MARK: dict[str, Any] = {"part_id": "c-2", "mark": "right"}


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReviewRig]:
    """A device on which the agent's account is number 4242 and the page's 4343."""
    monkeypatch.setattr(desk, "is_agent", lambda uid: uid == AGENT.uid)
    monkeypatch.setattr(desk, "uid_of", lambda _account: PAGE.uid)
    made = ReviewRig(tmp_path)
    made.judge(four_parts())
    yield made
    made.close()


def test_the_agent_marks_in_a_keys_name(rig: ReviewRig) -> None:
    """By name alone: it knows no numbers."""
    assert rig.desk.execute(order("mark", KEY, **MARK), AGENT).is_done
    assert rig.marks(2) == [(KEY["name"], "right", True)]
    record = list(every_record(rig.folder / "audit.sqlite"))[-1]
    assert (record["via"], record["new"]["part"]) == ("mqtt", 2)


@pytest.mark.parametrize("who", [person(), person("operator"), {"kind": "root", "name": "root"}])
def test_the_agent_speaks_for_nobody_else(rig: ReviewRig, who: dict[str, str]) -> None:
    with pytest.raises(OrderError, match=r"may order as root|only what an operator's key"):
        rig.desk.execute(order("mark", who, **MARK), AGENT)
    assert rig.marks(2) == []


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("pause", {"minutes": 5}),
        ("resume", {}),
        ("set_limit", {"score_threshold": 0.5, "for_sha256": "a" * 64}),
        ("undo_limit", {}),
        ("settle", {"part": 2, "part_id": "c-2", "outcome": "good"}),
        ("accept", {"part": 2, "part_id": "c-2", "decision": 1, "accepted": True}),
        ("record", {"event": "user_added"}),
        ("note_head", {}),
        ("show_limits", {}),
        ("show_health", {}),
    ],
)
@pytest.mark.parametrize("peer", [AGENT, OWN])
def test_a_key_signs_nothing_but_marks(
    rig: ReviewRig, kind: str, values: dict[str, Any], peer: Peer
) -> None:
    with pytest.raises(OrderError, match="a key signs marks of parts only"):
        rig.desk.execute(order(kind, KEY, **values), peer)


def test_the_page_cannot_speak_for_a_key(rig: ReviewRig) -> None:
    with pytest.raises(OrderError, match="Only the agent, which verifies signatures"):
        rig.desk.execute(order("mark", KEY, **MARK), PAGE)
    assert rig.marks(2) == []


def test_without_such_an_account_nobody_is_the_agent() -> None:
    assert not is_agent(4242, lambda _account: None)
    assert is_agent(4242, {peers.AGENT_ACCOUNT: 4242}.get)


@pytest.mark.parametrize("is_known", [True, False])
def test_the_socket_lets_the_agent_in_and_no_stranger(
    rig: ReviewRig, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    """By the account that the kernel names."""
    monkeypatch.setattr(order_server, "may_play", lambda _role, _uid: False)
    monkeypatch.setattr(order_server, "is_agent", lambda _uid: is_known)
    server = OrderServer(rig.folder / "orders.sock", rig.desk.execute)
    server.start()
    try:
        if is_known:
            assert OrderClient(server.path).send(order("mark", KEY, **MARK)).is_done
        else:
            with pytest.raises(
                (OrderError, ConfigError), match=r"may give no orders|did not answer"
            ):
                OrderClient(server.path).send(order("mark", KEY, **MARK))
    finally:
        server.stop()
    assert len(rig.marks(2)) == int(is_known)
