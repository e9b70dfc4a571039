"""What a real datagram socket in systemd's place hears."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.host.sd_notify import ServiceNotifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Return a socket bound where systemd's would be."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(2)
        yield heard


def heard_by(manager: socket.socket) -> list[str]:
    """Return every message that has arrived."""
    manager.setblocking(False)
    found = []
    while True:
        try:
            found.append(manager.recv(4096).decode())
        except BlockingIOError:
            return found


def test_every_message_is_one_datagram(manager: socket.socket) -> None:
    """Ready, status, alive and stopping arrive in order, as sd_notify(3) spells them."""
    notifier = ServiceNotifier(manager.getsockname())
    notifier.ready()
    notifier.status("two\nlines  become one")
    notifier.alive()
    notifier.stopping()
    assert heard_by(manager) == [
        "READY=1",
        "STATUS=two lines become one",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_a_waiting_service_feeds_its_watchdog_until_stopped(manager: socket.socket) -> None:
    """Ready first, fed while it is alive, not fed when it is not, stopping last."""
    stop, is_alive = threading.Event(), threading.Event()
    is_alive.set()
    notifier = ServiceNotifier(manager.getsockname(), watchdog_s=0.3)
    thread = threading.Thread(target=notifier.serve_until, args=(stop, is_alive.is_set))
    thread.start()
    assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
    is_alive.clear()
    stop.wait(0.3)
    heard_by(manager)
    stop.wait(0.4)
    assert heard_by(manager) == []
    stop.set()
    thread.join(2)
    assert heard_by(manager) == ["STOPPING=1"]


def test_the_same_status_is_sent_once(manager: socket.socket) -> None:
    """A status line is sent when it changes, not every time it is made."""
    notifier = ServiceNotifier(manager.getsockname())
    for text in ("inspecting", "inspecting", "cam1 stalled", "inspecting"):
        notifier.status(text)
    assert heard_by(manager) == ["STATUS=inspecting", "STATUS=cam1 stalled", "STATUS=inspecting"]


def test_the_abstract_name_space_is_reached() -> None:
    """An address that begins with @ is a Linux abstract socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0cropliq-edge-test-notify")
        heard.settimeout(2)
        ServiceNotifier("@cropliq-edge-test-notify").ready()
        assert heard.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("environment", "is_heard", "watchdog_s"),
    [
        ({}, False, None),
        ({"WATCHDOG_USEC": "5000000"}, False, None),
        ({"NOTIFY_SOCKET": "/run/x"}, True, None),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "0"}, True, None),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1500000"}, True, 1.5),
    ],
)
def test_systemd_says_by_the_environment_what_it_wants(
    environment: dict[str, str], is_heard: bool, watchdog_s: float | None
) -> None:
    """Without NOTIFY_SOCKET nobody listens; the watchdog's period is in microseconds."""
    notifier = ServiceNotifier.from_environment(environment)
    assert (notifier.is_heard, notifier.watchdog_s) == (is_heard, watchdog_s)


def test_a_manager_that_is_gone_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that cannot be delivered is a warning, not an error."""
    with caplog.at_level(logging.WARNING):
        ServiceNotifier(str(tmp_path / "nobody")).ready()
    assert "READY=1" in caplog.text
