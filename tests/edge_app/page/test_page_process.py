"""The page's own process: dead, hung, early, late or alone, it costs inspection nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from page_processes import (
    PagedLine,
    answered,
    ask,
    descriptors,
    is_running,
    page_service,
    paged_line,
    settled,
    shows_parts,
    state_of,
)
from support.brokers import wait_until
from support.child_processes import SCRIPT_ENVIRONMENT
from support.pictures_read import picture_of

TOKEN = "a-long-enough-token-0123"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
START_S = 20.0


def child_of(line: PagedLine) -> int:
    wait_until(lambda: line.child_pid is not None, START_S)
    pid = line.child_pid
    assert pid is not None
    return pid


def test_by_hand_the_page_is_a_child_that_shows_all(tmp_path: Path) -> None:
    """State, picture with and without map, alarms and evidence are the line's; the process is
    another one, with limits of its own."""
    with paged_line(tmp_path) as line:
        wait_until(lambda: shows_parts(line.url), START_S)
        pid = child_of(line)
        assert pid != os.getpid()
        limits = Path(f"/proc/{pid}/limits").read_text()
        (open_files,) = [row for row in limits.splitlines() if row.startswith("Max open files")]
        assert open_files.split()[3:5] == ["512", "512"]
        assert b"MALLOC_ARENA_MAX=2" in Path(f"/proc/{pid}/environ").read_bytes()
        wait_until(lambda: bool(answered(line.url, "/api/alerts").json()["alerts"]), START_S)
        (card, *_) = answered(line.url, "/api/alerts").json()["alerts"]
        wait_until(
            lambda: answered(line.url, "/api/alerts").json()["alerts"][-1]["evidence"] is not None
        )
        card = answered(line.url, "/api/alerts").json()["alerts"][-1]
        assert answered(line.url, card["evidence"]).headers["content-type"] == "image/jpeg"
        first = answered(line.url, "/frame/cam1.jpg?map=0")
        assert first.status_code == 200
        pixels = picture_of(first.content)
        shown = line.app.page_state.picture("cam1")
        assert shown is not None
        assert pixels.shape[:2] == shown[1].frame.hw
        number = int(first.headers["x-frame-sequence"])
        wait_until(lambda: answered(line.url, f"/frame/cam1.jpg?after={number}").status_code == 200)
        assert answered(line.url, "/frame/nobody.jpg").status_code == 404


def test_a_killed_page_is_back_and_inspection_never_noticed(tmp_path: Path) -> None:
    """SIGKILL: parts are judged all along, and the page answers again after a second or two."""
    with paged_line(tmp_path) as line:
        wait_until(lambda: shows_parts(line.url), START_S)
        pid = child_of(line)
        os.kill(pid, signal.SIGKILL)
        line.goes_on()
        wait_until(lambda: line.child_pid not in (None, pid), START_S)
        wait_until(lambda: shows_parts(line.url), START_S)
    assert all(v.state.value != "NOT_INSPECTED" for v in line.verdicts)


def test_a_hung_page_costs_nothing_and_ends_with_the_line(tmp_path: Path) -> None:
    """SIGSTOP: parts are judged, no descriptor is lost, and the stop does not wait for it."""
    with paged_line(tmp_path) as line:
        wait_until(lambda: shows_parts(line.url), START_S)
        pid = child_of(line)
        before = descriptors()
        os.kill(pid, signal.SIGSTOP)
        for _ in range(3):
            line.goes_on(15)
        assert descriptors() <= before + 1
    assert not is_running(pid)


def test_the_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL of `edge-app run` leaves no page behind."""
    line = PagedLine(tmp_path)  # only for its configuration and port
    line.app.outbox.close()
    run = [sys.executable, "-m", "edge_app.cli.main", "run", "--config"]
    with subprocess.Popen(
        [*run, str(tmp_path / "edge-app.toml")], env=SCRIPT_ENVIRONMENT, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: shows_parts(line.url), START_S)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            pids = [
                int(pid)
                for task in children.parents[1].iterdir()
                for pid in (task / "children").read_text().split()
            ]
            assert pids
        finally:
            process.kill()
    wait_until(lambda: not any(is_running(pid) for pid in pids), 10)
    assert ask(line.url) is None


def test_the_page_off_has_no_process(tmp_path: Path) -> None:
    """enabled = false: neither child nor socket."""
    with paged_line(tmp_path, page="enabled = false") as line:
        assert line.app.page_url is None
        assert line.app._door is None
        line.goes_on()


def test_the_service_may_come_first_or_last_and_says_what_is_missing(tmp_path: Path) -> None:
    """Started before inspection it waits; with inspection gone it says so in words, with the token
    as before, and the first start after that needs no inspection; numbers never go back."""
    (tmp_path / "token").write_text(TOKEN)
    door, state = tmp_path / "page.sock", tmp_path / "page-state"
    with page_service(door, state):
        settled()
        with paged_line(tmp_path, page_socket=door, page='token_file = "token"') as line:
            url = line.url
            wait_until(lambda: bool(state_of(url, headers=BEARER).get("cameras")), START_S)
            wait_until(lambda: state_of(url, headers=BEARER)["cameras"][0]["sequence"] > 2)
            assert answered(url).status_code == 401
            assert answered(url, "/frame/cam1.jpg", headers=BEARER).status_code == 200
            number = state_of(url, headers=BEARER)["cameras"][0]["sequence"]
        wait_until(lambda: is_alone(url))
        shown = state_of(url, headers=BEARER)
        assert shown["notes"][0].startswith("Inspection is not running: no part is judged.")
        (camera,) = shown["cameras"]
        assert (camera["state_words"], camera["is_blind"]) == ("inspection is not running", True)
        assert shown["broker"]["is_good"] is False
        again = PagedLine(tmp_path, page_socket=door, page='token_file = "token"')
    assert (state / "settings.json").stat().st_mode & 0o077 == 0
    with page_service(door, state):
        wait_until(
            lambda: "not running" in str(state_of(url, headers=BEARER).get("notes")), START_S
        )
        assert (
            answered(url, headers={"Authorization": "Bearer nonsense-nonsense"}).status_code == 401
        )
        again.start()
        try:
            wait_until(lambda: shows(again.url), START_S)
            assert ask(url) is None, "the port is another one now, and the old one is free"
        finally:
            again.stop()
    assert number > 2


def is_alone(url: str) -> bool:
    return "not running" in str(state_of(url, headers=BEARER).get("notes"))


def shows(url: str) -> bool:
    return bool(state_of(url, headers=BEARER).get("cameras"))


def test_a_restarted_inspection_goes_on_in_the_pictures_numbers(tmp_path: Path) -> None:
    """A browser that has seen number 30 is not shown number 1 again as news or as old."""
    door = tmp_path / "page.sock"
    line = PagedLine(tmp_path, page_socket=door).start()
    with page_service(door, tmp_path / "page-state"):
        wait_until(lambda: shows_parts(line.url), START_S)
        wait_until(lambda: state_of(line.url)["cameras"][0]["sequence"] > 5, START_S)
        line.stop()
        last = state_of(line.url)["cameras"][0]["sequence"]
        config = line.app._config
        second = PagedLine(tmp_path, page_socket=door)
        assert config.page.port != second.app._config.page.port
        second.start()
        try:
            wait_until(lambda: shows_parts(second.url), START_S)
            assert state_of(second.url)["cameras"][0]["sequence"] > last
            assert answered(second.url, "/frame/cam1.jpg").status_code == 200
        finally:
            second.stop()


def test_a_taken_port_is_said_and_tried_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Inspection runs; once the port is free the page is there."""
    line = PagedLine(tmp_path)
    port = int(line.url.rsplit(":", 1)[1])
    with socket.create_server(("127.0.0.1", port)):
        line.start()
        try:
            line.goes_on(20)
            child_of(line)
            wait_until(lambda: "Choose another page.port" in capfd.readouterr().err, START_S)
        except BaseException:
            line.stop()
            raise
    try:
        wait_until(lambda: shows_parts(line.url), START_S)
    finally:
        line.stop()
