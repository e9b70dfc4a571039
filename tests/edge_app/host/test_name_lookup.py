"""Start, stop and the doctor's answer wait for no name server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.app_config import EDGE_APP, running, write_config
from support.brokers import free_port, wait_until
from support.small_bundles import write_pictures

from edge_app.host.name_lookup import addresses_of, own_name

DEAD_NAME_SERVERS = """
import socket, time

def dead(*_, **__):
    time.sleep(60)
    raise socket.gaierror(-3, "Temporary failure in name resolution")

socket.getaddrinfo = socket.gethostbyaddr = socket.gethostbyname = socket.getfqdn = dead
"""


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Name servers that do not answer until the event is set."""
    answers = threading.Event()

    def asked(*_: object, **__: object) -> list[object]:
        answers.wait(30)
        return [(2, 1, 6, "", ("10.1.2.3", 0)), (2, 1, 6, "", ("10.1.2.3", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    monkeypatch.setattr(socket, "getfqdn", lambda: (answers.wait(30), "d3.plant.example")[1])
    return answers


def test_a_hanging_lookup_has_a_limit_and_is_asked_once(hung: threading.Event) -> None:
    """Each caller waits as long as it wants; one thread asks; the answer that comes is used."""
    before = threading.active_count()
    for _ in range(5):
        with pytest.raises(TimeoutError, match=r"no name server has answered within 0\.05 s"):
            addresses_of("broker.plant.example", 1883, 0.05)
    assert threading.active_count() == before + 1
    hung.set()
    wait_until(lambda: threading.active_count() == before)
    assert addresses_of("broker.plant.example", 1883, 5.0) == [("10.1.2.3", 1883)]


def test_the_own_name_comes_without_a_name_server(hung: threading.Event) -> None:
    """The short one within the limit; the full one once they answer."""
    assert own_name(0.05) == (socket.gethostname(), False)
    hung.set()
    time.sleep(0.1)
    assert own_name(5.0) == ("d3.plant.example", True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%lo"])
def test_a_written_address_is_not_looked_up(host: str, hung: threading.Event) -> None:
    """No name server is asked."""
    assert addresses_of(host, 1, 0.01) == [(host, 1)]


def test_names_that_do_not_exist_are_an_error_of_the_system() -> None:
    """Also one that cannot even be asked for."""
    for name in ("no.such.invalid", "a" * 70 + ".example", ".."):
        with pytest.raises(OSError, match=r".+"):
            addresses_of(name, 1, 10.0)


@pytest.fixture
def dead_name_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process started from here on gets no answer to a name within 60 s."""
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "sitecustomize.py").write_text(DEAD_NAME_SERVERS)
    path = os.pathsep.join(filter(None, (str(tmp_path / "python"), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.mark.usefixtures("dead_name_servers")
def test_a_device_starts_and_stops_without_name_servers(tmp_path: Path) -> None:
    """A broker with a name, a page for others: parts are judged and evidence kept; SIGTERM ends."""
    write_pictures(tmp_path / "in", 3, {2})
    (tmp_path / "token").write_text("0123456789abcdef")
    page = f'[page]\nhost = "0.0.0.0"\nport = {free_port()}\ntoken_file = "token"\n'
    config = write_config(tmp_path, "folder:in?loop=1&interval_s=0.1", 1883)
    text = config.read_text().replace("[page]\nenabled = false\n", page)
    config.write_text(text.replace('host = "127.0.0.1"', 'host = "broker.plant.example"'))
    began_s = time.monotonic()
    with running(config) as process:
        evidence = tmp_path / "state" / "evidence"
        wait_until(lambda: any(evidence.glob("*/*.jpg")), 50)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=50 - (time.monotonic() - began_s))
    assert process.returncode == 0
    assert "no name server answers: evidence is offered at this machine's short name" in log


@pytest.mark.usefixtures("dead_name_servers")
def test_the_doctor_names_the_name_server(tmp_path: Path) -> None:
    """The broker's row says it within its own limit; all others are there."""
    config = write_config(tmp_path, "folder:in", 1883)
    config.write_text(config.read_text().replace('host = "127.0.0.1"', 'host = "broker.example"'))
    done = subprocess.run(
        [EDGE_APP, "doctor", "--config", str(config), "--json"],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert "no name server has answered within 1.5 s where 'broker.example' is" in done.stdout
    assert "The check itself failed" not in done.stdout
