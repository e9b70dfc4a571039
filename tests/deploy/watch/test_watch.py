"""The installed command against a real broker and a real picture server."""

from __future__ import annotations

import functools
import gc
import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.alert_drafts import WHO, draft
from support.brokers import HOST, Listener, Mosquitto

from deploy.watch.evidence import fetch_evidence
from deploy.watch.options import watch_client_id
from edge_app.demo.broker import EmbeddedBroker
from edge_app.errors import DataError
from edge_app.mqtt.messages import Alert, AlertDraft, EvidenceBody
from edge_app.mqtt.topics import alert_filter
from edge_app.records import Evidence

COMMAND = [str(Path(sys.executable).with_name("edge-deploy")), "watch"]
TOPIC = f"{WHO.root}/cam/cam1/alert"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without writing to stderr."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Return a folder and the address under which a web server shows it."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://{HOST}:{server.server_address[1]}"
        server.shutdown()


def payload(alert: AlertDraft, seq: int) -> str:
    later = {"seq": seq, "session": 1, "published_at": "2026-11-22T05:02:14.123456789Z"}
    return Alert(**alert.model_dump(), **later, replayed=False).payload().decode()


def watch(broker: Mosquitto | EmbeddedBroker, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "--broker", f"{HOST}:{broker.port}", "--timeout-s", "20", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what a watch printed, once it has ended."""
    with process:
        return process.communicate(timeout=30)


def wait_for_session(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "watching inspect/v1/" in line, line


@pytest.mark.needs("mosquitto")
def test_each_alert_is_shown_once_and_in_order(mosquitto: Mosquitto) -> None:
    """Duplicates are dropped, an overtaken alert waits, JSON lines are what was published."""
    process = watch(mosquitto, "--json", "--count", "3", "--client-id", "w")
    wait_for_session(process)
    sender = Listener(mosquitto.port, "nothing")
    texts = [payload(draft(n), n) for n in (1, 2, 3)]
    for index in (0, 0, 2, 1, 2, 0):
        sender.publish(TOPIC, texts[index])
    out, _ = ended(process)
    assert out.splitlines() == texts
    assert process.returncode == 0
    sender.close()


@pytest.mark.needs("mosquitto")
def test_what_came_while_nobody_watched_is_shown_later(mosquitto: Mosquitto) -> None:
    """The broker keeps a session for the client id: the second watcher gets what it missed."""
    first = watch(mosquitto, "--count", "1", "--client-id", "shift-a")
    wait_for_session(first)
    sender = Listener(mosquitto.port, "nothing")
    sender.publish(TOPIC, payload(draft(1), 1))
    assert "cam1-18f3a2-000001" in ended(first)[0]
    sender.publish(TOPIC, payload(draft(2), 2))
    mosquitto.stop()
    mosquitto.start()
    second = watch(mosquitto, "--count", "1", "--client-id", "shift-a")
    out, _ = ended(second)
    header, row = out.splitlines()
    assert header.startswith("TIME")
    assert "cam1-18f3a2-000002" in row
    sender.close()


@pytest.mark.needs("mosquitto")
def test_messages_that_are_no_alerts_are_named_and_passed_over(mosquitto: Mosquitto) -> None:
    """Garbage on the topic does not end the watch."""
    process = watch(mosquitto, "--json", "--count", "1")
    wait_for_session(process)
    sender = Listener(mosquitto.port, "nothing")
    for text in ("no json", '{"schema_version": 1}', payload(draft(1), 1)):
        sender.publish(TOPIC, text)
    out, notes = ended(process)
    assert json.loads(out)["source_number"] == 1
    assert notes.count("no alert on") == 2
    sender.close()


@pytest.mark.needs("mosquitto")
def test_evidence_is_saved_only_if_its_hash_is_right(
    mosquitto: Mosquitto, pictures: tuple[Path, str], tmp_path: Path
) -> None:
    """The right picture lands in the folder, a changed one is refused and named."""
    folder, address = pictures
    (folder / "1.jpg").write_bytes(b"picture one")
    (folder / "2.jpg").write_bytes(b"changed afterwards")
    right = Evidence(f"{address}/1.jpg", hashlib.sha256(b"picture one").hexdigest())
    wrong = Evidence(f"{address}/2.jpg", hashlib.sha256(b"picture two").hexdigest())
    saved = tmp_path / "saved"
    process = watch(mosquitto, "--count", "2", "--evidence", str(saved))
    wait_for_session(process)
    sender = Listener(mosquitto.port, "nothing")
    for seq, evidence in ((1, right), (2, wrong)):
        sender.publish(TOPIC, payload(draft(seq, evidence=evidence), seq))
    _, notes = ended(process)
    assert [path.name for path in saved.iterdir()] == ["press-3-1-alarm-1.jpg"]
    assert (saved / "press-3-1-alarm-1.jpg").read_bytes() == b"picture one"
    assert "the picture was changed or replaced" in notes
    sender.close()


@pytest.mark.needs("mosquitto")
def test_one_picture_is_saved_of_a_part(
    mosquitto: Mosquitto, pictures: tuple[Path, str], tmp_path: Path
) -> None:
    """The end of an alarm names the picture of its raise; another alarm may show the same bytes."""
    folder, address = pictures
    (folder / "1.jpg").write_bytes(b"picture one")
    shown = Evidence(f"{address}/1.jpg", hashlib.sha256(b"picture one").hexdigest())
    saved = tmp_path / "saved"
    process = watch(mosquitto, "--count", "3", "--evidence", str(saved))
    wait_for_session(process)
    sender = Listener(mosquitto.port, "nothing")
    raised = draft(1, evidence=shown)
    ended_alarm = draft(2, evidence=shown).model_copy(update={"alarm_id": raised.alarm_id})
    other = draft(3, evidence=shown).model_copy(update={"alarm_id": "another"})
    for seq, alert in enumerate((raised, ended_alarm, other), 1):
        sender.publish(TOPIC, payload(alert, seq))
    ended(process)
    assert {path.name.split("-")[2] for path in saved.iterdir()} == {"1", "3"}
    sender.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/passwd", "only http and https"),
        ("http://127.0.0.1:1/x.jpg", "cannot be fetched"),
    ],
)
def test_evidence_from_odd_addresses_is_refused(url: str, words: str, tmp_path: Path) -> None:
    """Local files are never opened, a silent server is named."""
    with pytest.raises(DataError, match=words):
        fetch_evidence(EvidenceBody(url=url, sha256="ab" * 32), tmp_path, "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.needs("mosquitto")
def test_a_refused_login_ends_the_watch_in_words(
    start_mosquitto: Callable[..., Mosquitto],
) -> None:
    """Exit code 1 and what to check."""
    broker = start_mosquitto(is_open=False)
    done = ended(watch(broker))
    assert "broker refused the login" in done[1]


@pytest.mark.needs("mosquitto")
def test_two_watchers_with_one_session_are_told(mosquitto: Mosquitto) -> None:
    """They drive each other out; each says to give each its own --client-id."""
    pair = [watch(mosquitto, "--client-id", "same") for _ in range(2)]
    assert pair[0].stderr is not None
    while "Give each its own --client-id" not in (line := pair[0].stderr.readline()):
        assert line
    for process in pair:
        process.terminate()
        ended(process)
    assert [process.returncode for process in pair] == [0, 0]


def test_a_watch_without_a_broker_ends_in_time_with_code_one() -> None:
    """--count that is not reached within --timeout-s is a failure."""
    done = subprocess.run(
        [*COMMAND, "--broker", "127.0.0.1:1", "--count", "1", "--timeout-s", "0.5"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("no broker") == 1


@pytest.mark.needs("mosquitto")
def test_a_time_that_ends_without_a_connection_is_no_success(mosquitto: Mosquitto) -> None:
    """Without --count too, whether the broker was never there or has gone; with one it is fine."""
    never = subprocess.run(
        [*COMMAND, "--broker", "127.0.0.1:1", "--timeout-s", "0.5"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert never.returncode == 1
    assert "not connected to 127.0.0.1:1 when the time was over: [Errno 111]" in never.stderr
    process = watch(mosquitto, "--timeout-s", "4", "--client-id", "quiet")
    wait_for_session(process)
    ended(process)
    assert process.returncode == 0
    process = watch(mosquitto, "--timeout-s", "6", "--client-id", "left-alone")
    wait_for_session(process)
    mosquitto.stop()
    _, told = ended(process)
    assert process.returncode == 1
    assert "when the time was over" in told


@pytest.mark.needs("mosquitto")
def test_a_watch_shows_what_it_was_asked_for(mosquitto: Mosquitto) -> None:
    """Neither another line's watch on this machine nor an earlier one of this id adds to it."""
    other = TOPIC.replace(f"/{WHO.line}/", "/other/")
    assert other != TOPIC
    assert watch_client_id("desk", alert_filter()) == "edge-watch-desk"
    assert watch_client_id("desk", alert_filter(line="l1")) != watch_client_id(
        "desk", alert_filter(line="l2")
    )
    first = watch(mosquitto, "--count", "1", "--client-id", "shift-a")
    wait_for_session(first)
    sender = Listener(mosquitto.port, "nothing")
    sender.publish(TOPIC, payload(draft(1), 1))
    ended(first)
    sender.publish(TOPIC, payload(draft(2), 2))  # kept for the first one's session
    second = watch(
        mosquitto, "--line", "other", "--client-id", "shift-a", "--json", "--timeout-s", "5"
    )
    out, told = ended(second)
    assert out == ""
    assert "an earlier watch with the client id 'shift-a' had asked for more" in told
    sender.close()


@pytest.mark.parametrize("broker", ["host:port", ":1883", "host:0", "host:99999"])
def test_an_odd_broker_address_is_explained(broker: str) -> None:
    """The message shows what is expected."""
    done = subprocess.run([*COMMAND, "--broker", broker], capture_output=True, text=True)
    assert done.returncode == 2
    assert "expected HOST or HOST:PORT" in done.stderr


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # amqtt on Python 3.10 leaves transports
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_embedded_broker_can_be_watched() -> None:
    """The demo's broker speaks 3.1.1 only; the watcher follows."""
    with EmbeddedBroker() as broker:
        process = watch(broker)
        wait_for_session(process)
        process.terminate()
        ended(process)
    gc.collect()  # what amqtt left is collected here, not in the test after this one
    assert process.returncode == 0
