"""`edge-deploy feedback` as a person uses it: installed commands, real agent, line and broker."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.agent_and_line import TRIGGERED, write_config
from support.brokers import HOST, Mosquitto, wait_until

from deploy.bundles.keys import generate_key
from edge_app.audit.reader import every_record
from edge_app.errors import HistoryError
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader

BIN = Path(sys.executable).parent
DEVICE = "graz/l2/d3"


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / str(words[0])), *map(str, words[1:])]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def key_of(folder: Path, name: str) -> Path:
    generate_key(folder, name, None, None)
    return folder / f"{name}.key"


def first_part(history: Path) -> str:
    """Return the name of a part that has left; "" while there is none."""
    try:
        found = HistoryReader(history).parts(PartFilter())
    except HistoryError:
        return ""
    return next((str(part["part_id"]) for part in found if part["is_final"]), "")


def start_device(folder: Path, port: int, processes: ExitStack, agent: str) -> None:
    """Start agent and run as processes of their own."""
    config = write_config(folder, url=TRIGGERED)
    text = config.read_text().replace(
        "[mqtt]\nenabled = false", f'[mqtt]\nhost = "{HOST}"\nport = {port}'
    )
    config.write_text(text.replace("[agent]", f"[agent]\n{agent}"))
    for command in ("agent", "run"):
        log = processes.enter_context((folder / f"{command}.log").open("w"))
        words = [str(BIN / "edge-app"), command, "--config", str(config)]
        process = subprocess.Popen(words, stdout=log, stderr=log)
        processes.callback(process.wait, 20)
        processes.callback(process.terminate)
    agent_log = folder / "agent.log"
    wait_until(lambda: "agent connected" in agent_log.read_text(), 30, "the broker")


@pytest.mark.needs("mosquitto")
def test_a_person_says_what_a_part_is_from_the_workstation(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """Recorded in the key's name, code 0; a part that never was and a stranger's key: the device's
    reason and 1."""
    anna, stranger = key_of(tmp_path / "private", "anna"), key_of(tmp_path / "other", "eve")
    (tmp_path / "operators").mkdir()
    public = anna.with_suffix(".pub").read_bytes()
    (tmp_path / "operators" / "anna.pub").write_bytes(public)
    history = tmp_path / "state" / "history.sqlite"
    agent = 'operator_keys_dir = "operators"\nfeedback = true'
    with ExitStack() as processes:
        start_device(tmp_path, mosquitto.port, processes, agent)
        wait_until(lambda: bool(first_part(history)), 30, "a part")
        name = first_part(history)
        broker = ("--broker", f"{HOST}:{mosquitto.port}", "--device", DEVICE)
        said = ("edge-deploy", "feedback", name, "unsure", "--note", "at the rim")
        done = run(*said, *broker, "--key", anna)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith(f"{DEVICE}: {name} (")
        assert done.stdout.rstrip().endswith("not clear.")
        wrong = run("edge-deploy", "feedback", "nobody-7", "right", *broker, "--key", anna)
        assert (wrong.returncode, "There is no part nobody-7" in wrong.stdout) == (1, True)
        forged = run(*said, *broker, "--key", stranger)
        assert (forged.returncode, "no operator's here" in forged.stdout) == (1, True)
    (mark,) = HistoryReader(history, shows_names=True).decisions()
    assert (mark["part_id"], mark["mark"], mark["note"]) == (name, "unsure", "at the rim")
    assert mark["author"].startswith("anna ")
    records = [r for r in every_record(tmp_path / "state/audit.sqlite") if r["event"] == "decision"]
    assert [(r["author"]["kind"], r["via"]) for r in records] == [("key", "mqtt")]


@pytest.mark.needs("mosquitto")
def test_a_device_that_takes_no_feedback_does_not_answer(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """Off unless enabled, though operators' commands are on; the sender hears what to look at."""
    anna = key_of(tmp_path / "private", "anna")
    (tmp_path / "operators").mkdir()
    public = anna.with_suffix(".pub").read_bytes()
    (tmp_path / "operators" / "anna.pub").write_bytes(public)
    with ExitStack() as processes:
        start_device(tmp_path, mosquitto.port, processes, 'operator_keys_dir = "operators"')
        broker = ("--broker", f"{HOST}:{mosquitto.port}", "--device", DEVICE, "--timeout-s", 2)
        done = run("edge-deploy", "feedback", "x-1", "right", *broker, "--key", anna)
    assert done.returncode == 1
    assert f"{DEVICE}: no answer." in done.stdout
    assert "feedback = true" in done.stdout


def test_wrong_use_is_named_before_anybody_is_asked(tmp_path: Path) -> None:
    """No broker is needed to hear what is wrong."""
    key = key_of(tmp_path, "anna")
    broker = ("--broker", f"{HOST}:1", "--key", key)
    for words, why in (
        (("x-1", "bad", "--device", DEVICE), "invalid choice: 'bad'"),
        (("x-1", "right", "--device", "graz"), "expected SITE/LINE/DEVICE"),
        (("x-1", "right"), "--device"),
    ):
        done = run("edge-deploy", "feedback", *words, *broker)
        assert (done.returncode, why in done.stderr) == (2, True), done.stderr
