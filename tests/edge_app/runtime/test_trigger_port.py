"""Triggers that come in over TCP: each line one part, in the order of the lines."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.app_config import running, write_config
from support.brokers import HOST, Listener, Mosquitto, free_port, wait_until

from edge_app.cameras.isolation.triggers import TriggerBook
from edge_app.config.load import load_config
from edge_app.errors import ConfigError
from edge_app.runtime.trigger_port import MAX_CLIENTS, MAX_ID, TriggerPort

FIRED = "basler:?region=0,0,256,128&trigger=software"


@pytest.fixture
def book() -> TriggerBook:
    return TriggerBook("cam1")


@pytest.fixture
def port(book: TriggerBook) -> Iterator[int]:
    """A port that fires into the book."""
    triggers = TriggerPort("cam1", (HOST, 0), book.fire)
    triggers.start()
    yield triggers.port
    triggers.stop()


class Plc:
    """A client that sends lines and reads the answers."""

    def __init__(self, port: int, own: str = HOST, receives: int = 0) -> None:
        self._socket = socket.socket()
        if receives:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        self._socket.settimeout(30)
        self._socket.bind((own, 0))
        try:
            self._socket.connect((HOST, port))
        except OSError:
            self._socket.close()
            raise
        self._answers = self._socket.makefile("rb")

    def send(self, text: bytes) -> None:
        self._socket.sendall(text)

    def answer(self) -> str:
        return self._answers.readline().decode()

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


@pytest.fixture
def plc(port: int) -> Iterator[Plc]:
    client = Plc(port)
    yield client
    client.close()


def test_each_line_fires_once_under_its_name(book: TriggerBook, plc: Plc) -> None:
    """Lines of one packet count one by one; an empty one is named by the device."""
    plc.send(b"lot7-1\nlot7-2\r\n\n")
    assert [plc.answer() for _ in range(3)] == ["fired 1 lot7-1\n", "fired 2 lot7-2\n", "fired 3\n"]
    fired = book.take_due(0.0)
    assert fired is not None
    assert (fired.number, fired.trigger_id) == (1, "lot7-1")


@pytest.mark.parametrize("line", [b"two words\n", b"\xff\xfe\n", b"a\tb\n", b"\x00\n"])
def test_what_is_no_id_fires_nothing(book: TriggerBook, plc: Plc, line: bytes) -> None:
    """A line that cannot stand in an alert is refused; the connection lives on."""
    plc.send(line + b"good\n")
    assert plc.answer().startswith("refused: an id is made of printable ASCII")
    assert plc.answer() == "fired 1 good\n"


def test_the_longest_id_passes_and_a_longer_one_ends_the_connection(port: int) -> None:
    """Nobody fills the memory with one endless line."""
    plc = Plc(port)
    plc.send(b"x" * MAX_ID + b"\r\n")
    assert plc.answer() == f"fired 1 {'x' * MAX_ID}\n"
    plc.send(b"y" * (MAX_ID + 3))
    assert plc.answer().startswith("refused: a trigger is one line of at most 64 characters")
    assert plc.answer() == ""
    plc.close()


def test_half_a_line_fires_nothing(book: TriggerBook, port: int) -> None:
    """A connection cut in the middle of a line is no trigger."""
    plc = Plc(port)
    plc.send(b"lot7")
    plc.close()
    other = Plc(port)
    other.send(b"lot8\n")
    assert other.answer() == "fired 1 lot8\n"
    other.close()


def test_too_many_connections_are_told_so(port: int) -> None:
    """The one beyond the limit from elsewhere is refused; when another leaves there is room."""
    clients = [Plc(port) for _ in range(MAX_CLIENTS)]
    for client in clients:
        client.send(b"\n")
        assert client.answer().startswith("fired")
    beyond = Plc(port, "127.0.0.2")
    assert beyond.answer() == f"refused: {MAX_CLIENTS} others are connected\n"
    beyond.close()
    clients.pop().close()

    def is_let_in() -> bool:
        later = Plc(port, "127.0.0.2")
        later.send(b"\n")
        answer = later.answer()
        later.close()
        return answer.startswith("fired")

    wait_until(is_let_in)
    for client in clients:
        client.close()


def test_connections_left_behind_do_not_shut_the_port(port: int) -> None:
    """A PLC that lost its power 20 times and hung up never: each new connection fires."""
    left = []
    for n in range(20):
        plc = Plc(port)
        plc.send(f"again{n}\n".encode())
        assert plc.answer() == f"fired {n + 1} again{n}\n"
        left.append(plc)
    assert left[0].answer() == ""
    left[-1].send(b"last\n")
    assert left[-1].answer() == "fired 21 last\n"
    for plc in left:
        plc.close()


def test_a_client_that_reads_no_answers_stops_nothing(
    book: TriggerBook, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Its triggers count when they come, none is kept back and fired when it hangs up, it is said
    once, and others get their answers."""
    numbers: list[int] = []
    deaf = Plc(port, receives=4096)
    lines = b"".join(b"x" * MAX_ID + b"\n" for _ in range(20_000))
    sender = threading.Thread(target=deaf.send, args=(lines,))
    sender.start()
    sender.join(60)
    assert not sender.is_alive()

    def is_taken() -> bool:
        other = Plc(port, "127.0.0.2")
        other.send(b"other\n")
        numbers.append(int(other.answer().split()[1]))
        other.close()
        return numbers[-1] == 20_000 + len(numbers)

    wait_until(is_taken, 30, "all triggers taken")
    before = numbers[-1]
    deaf.close()
    time.sleep(0.3)
    assert is_taken()
    assert numbers[-1] == before + 1
    told = [r.getMessage() for r in caplog.records if "does not read" in r.getMessage()]
    assert len(told) == 1


def test_half_a_line_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line has to be finished in time; a client that is silent between lines stays."""
    monkeypatch.setattr("edge_app.runtime.trigger_port.LINE_S", 0.4)
    silent, half = Plc(port), Plc(port)
    half.send(b"lot7")
    assert half.answer().startswith("refused: half a line for 0.4 s")
    assert half.answer() == ""
    silent.send(b"\n")
    assert silent.answer().startswith("fired")
    silent.close()
    half.close()


def test_a_stopped_port_hangs_up(book: TriggerBook) -> None:
    """After stop nothing fires and clients see the end."""
    triggers = TriggerPort("cam1", (HOST, 0), book.fire)
    triggers.start()
    plc = Plc(triggers.port)
    plc.send(b"a\n")
    assert plc.answer() == "fired 1 a\n"
    triggers.stop()
    assert plc.answer() == ""
    plc.close()
    with pytest.raises(ConnectionRefusedError):
        Plc(triggers.port)


def test_a_taken_port_is_named(port: int, book: TriggerBook) -> None:
    """The message names camera, address and remedy."""
    with pytest.raises(ConfigError, match=rf"Camera cam2: .*{HOST}:{port}.*another trigger_listen"):
        TriggerPort("cam2", (HOST, port), book.fire)


@pytest.mark.parametrize(
    ("url", "listen", "told"),
    [
        pytest.param(
            FIRED,
            None,
            "needs a port that receives the triggers",
            id=f"{FIRED}-None-triggers that come in nowhere",  # its name before the message changed
        ),
        ("sim:tapered", "127.0.0.1:5001", "not fired by the device"),
        (FIRED, "5001", "expected e.g. '127.0.0.1:5001'"),
        (FIRED, "127.0.0.1:70000", "expected e.g. '127.0.0.1:5001'"),
    ],
)
def test_camera_and_port_have_to_fit(
    tmp_path: Path, url: str, listen: str | None, told: str
) -> None:
    """A camera that waits for triggers needs a port, and only such a one."""
    config = _config(tmp_path, url, listen, 1883)
    with pytest.raises(ConfigError, match=told):
        load_config(config)


def _config(folder: Path, url: str, listen: str | None, broker: int) -> Path:
    line = "" if listen is None else f'trigger_listen = "{listen}"'
    return write_config(folder, url, broker, camera=line, mqtt="publish_results = true")


@pytest.mark.needs("mosquitto", "the extra basler")
def test_a_plc_triggers_an_emulated_camera(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five lines to the port give five results under their ids, then nothing more."""
    monkeypatch.setenv("PYLON_CAMEMU", "1")
    port = free_port()
    config = _config(tmp_path, FIRED, f"{HOST}:{port}", mosquitto.port)
    listener = Listener(mosquitto.port)
    names = [f"lot7-{n}" for n in range(1, 6)]

    def results() -> list[dict[str, Any]]:
        return listener.bodies("/result")

    with running(config) as process:
        wait_until(lambda: _camera_states(listener)[-1:] == ["waiting_for_trigger"], 30, "ready")
        plc = Plc(port)
        for n, name in enumerate(names, start=1):
            plc.send(f"{name}\n".encode())
            assert plc.answer() == f"fired {n} {name}\n"
            wait_until(partial(lambda count: len(results()) == count, n), 20, f"result {n}")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        plc.close()
    listener.close()
    assert [r["trigger_id"] for r in results()] == names
    assert {r["verdict"] for r in results()} <= {"OK", "NG"}, json.dumps(results())


def _camera_states(listener: Listener) -> list[str]:
    return [message["state"] for message in listener.bodies("/state")]
