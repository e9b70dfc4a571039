"""The socket for orders: one line in, one out, whoever is at the other end."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.order_makers import ROOT, order, person

from edge_app.errors import AuditError, ConfigError, OrderError
from edge_app.ipc import order_server
from edge_app.ipc.order_client import OrderClient, orders_socket
from edge_app.ipc.order_schema import MAX_LINE_BYTES, ORDER, AnyOrder, OrderAnswer
from edge_app.ipc.order_server import MAX_PEERS, OrderServer
from edge_app.ipc.peers import Peer
from edge_app.ipc.unix_socket import connected_to

HEAD = f"{'a' * 64}:3"


def done(_order: AnyOrder, _peer: Peer) -> OrderAnswer:
    return OrderAnswer(is_done=True, text="done", audit_seq=3, audit_head=HEAD)


@contextmanager
def serving(
    folder: Path, execute: Callable[[AnyOrder, Peer], OrderAnswer] = done
) -> Iterator[Path]:
    server = OrderServer(folder / "orders.sock", execute)
    server.start()
    try:
        yield server.path
    finally:
        server.stop()


def test_an_order_comes_as_it_was_given_and_its_answer_too(tmp_path: Path) -> None:
    """With the peer's account as the kernel says; the socket is gone after the end."""
    taken = list[tuple[AnyOrder, Peer]]()

    def execute(given: AnyOrder, peer: Peer) -> OrderAnswer:
        taken.append((given, peer))
        return done(given, peer)

    given = order("set_limit", person(), score_threshold=0.5, for_sha256="a" * 64)
    with serving(tmp_path, execute) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        answer = OrderClient(path).send(given)
    assert answer == OrderAnswer(is_done=True, text="done", audit_seq=3, audit_head=HEAD)
    assert taken[0][0] == given
    assert taken[0][1].pid > 0
    assert not path.exists()


def test_every_order_survives_the_socket() -> None:
    """What is written is what is read."""
    for given in (
        order("set_limit", suspect_threshold=0.25, for_sha256="b" * 64),
        order("undo_limit"),
        order("pause", camera="cam1", minutes=480),
        order("resume"),
        order("record", event="token_revoked", old="x", new="", why=""),
        order("note_head"),
        order("show_limits"),
    ):
        assert ORDER.validate_json(given.model_dump_json()) == given


BAD: dict[str, dict[str, Any]] = {
    "no minutes": {"minutes": None},
    "too short": {"minutes": 0},
    "too long": {"minutes": 481},
    "no reason": {"why": ""},
    "a blank reason": {"why": "  \t"},
    "a reason of two lines": {"why": "a\nb"},
    "a terminal's escape": {"why": "a\x1b[2J"},
    "a long reason": {"why": "x" * 501},
    "a lone surrogate": {"why": "\ud800"},
    "no author": {"author": None},
    "a nameless author": {"author": {"kind": "person", "name": ""}},
    "an unknown kind": {"author": {"kind": "god", "name": "a"}},
    "an unknown role": {"author": {"kind": "person", "name": "a", "role": "boss"}},
    "a random id": {"order_id": "17"},
    "a UUID of version 4": {"order_id": "01930000-0000-4000-8000-000000000001"},
    "an unknown key": {"force": True},
    "an unknown order": {"type": "format_disk"},
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_order_is_refused_in_words(tmp_path: Path, name: str) -> None:
    """And never reaches who carries orders out."""

    def never(_order: AnyOrder, _peer: Peer) -> OrderAnswer:
        raise AssertionError

    given = {**json.loads(order("pause", minutes=5).model_dump_json()), **BAD[name]}
    with serving(tmp_path, never) as path, connected_to(path) as connection:
        connection.sendall(json.dumps(given).encode() + b"\n")
        answer = OrderAnswer.model_validate_json(connection.makefile("rb").readline())
    assert not answer.is_done
    assert "no order that inspection knows" in answer.text


def test_thresholds_are_numbers() -> None:
    """NaN and infinity are none."""
    for value in (float("nan"), float("inf"), 1e300, "x"):
        with pytest.raises(ValidationError):
            order("set_limit", score_threshold=value, for_sha256="a" * 64)


@pytest.mark.parametrize("error", [OrderError("The reason."), AuditError("The reason.")])
def test_a_refusal_is_an_answer(tmp_path: Path, error: Exception) -> None:
    """In its own words."""

    def refuse(_order: AnyOrder, _peer: Peer) -> OrderAnswer:
        raise error

    with serving(tmp_path, refuse) as path:
        answer = OrderClient(path).send(order("resume"))
    assert (answer.is_done, answer.text) == (False, "The reason.")


def test_a_fault_ends_neither_the_server_nor_the_next_order(tmp_path: Path) -> None:
    """It is in the journal; the answer says so."""
    calls = list[int]()

    def fails_once(given: AnyOrder, peer: Peer) -> OrderAnswer:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return done(given, peer)

    with serving(tmp_path, fails_once) as path:
        assert "journal" in OrderClient(path).send(order("resume")).text
        assert OrderClient(path).send(order("resume")).is_done


def test_a_stranger_is_not_listened_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another account's connection is closed before a byte of it is read."""
    monkeypatch.setattr(order_server, "peer_of", lambda _connection: Peer(1, 65534, 65534))
    with serving(tmp_path) as path, pytest.raises((OrderError, ConfigError)):
        OrderClient(path).send(order("resume"))


def test_silent_and_endless_peers_cost_themselves_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that says nothing, one that never ends its line: others are served meanwhile, and both
    are let go."""
    monkeypatch.setattr(order_server, "RECEIVE_S", 1.0)
    with serving(tmp_path) as path:
        silent, endless = connected_to(path), connected_to(path)
        endless.sendall(b"x" * (MAX_LINE_BYTES + 10))
        assert OrderClient(path).send(order("resume")).is_done
        for peer in (silent, endless):
            peer.settimeout(20)
            with suppress(ConnectionError):  # closed with bytes of ours unread
                assert peer.recv(100) == b""
            peer.close()


def test_more_connections_than_places_are_turned_away(tmp_path: Path) -> None:
    """They do not use up threads; a place that is free again serves."""
    with serving(tmp_path) as path:
        held = [connected_to(path) for _ in range(MAX_PEERS)]
        for peer in held[:-1]:
            peer.sendall(b"{")
        with pytest.raises(OrderError):
            OrderClient(path).send(order("resume"), timeout_s=10.0)
        for peer in held:
            peer.close()


def test_no_inspection_and_no_answer_are_said_in_words(tmp_path: Path) -> None:
    """Not there; there and silent; answering nonsense; hanging up."""
    path = tmp_path / "orders.sock"
    with pytest.raises(ConfigError, match="systemctl start edge-app"):
        OrderClient(path).send(order("resume"))
    with serving(tmp_path):
        pass
    for says, match in (
        (b"", "without an answer"),
        (b"{}\n", "not in the protocol"),
        (None, "not known"),
    ):
        with socket.socket(socket.AF_UNIX) as listener:
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            listener.listen(1)
            thread = threading.Thread(target=_say, args=(listener, says))
            thread.start()
            with pytest.raises(OrderError, match=match):
                OrderClient(path).send(order("resume"), timeout_s=0.5)
            thread.join()


def _say(listener: socket.socket, data: bytes | None) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(100_000)
        if data is None:
            connection.recv(1)  # until the client gives up
        else:
            connection.sendall(data)


def test_the_socket_lies_beside_the_pages(tmp_path: Path) -> None:
    """As a service; by hand in the state folder."""
    assert orders_socket(tmp_path, Path("/run/x/page.sock")) == Path("/run/x/orders.sock")
    assert orders_socket(tmp_path, None) == tmp_path / "orders.sock"
    assert ROOT["kind"] == "root"
