"""Changeovers ordered over MQTT: real broker, real agent, real inspection on a triggered line."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.activation_bundles import manifest_of, write_release
from support.agent_and_line import TRIGGERED, Device, Line, device, write_config
from support.audit_files import changes_of
from support.broker_logins import PASSWORD, acl_lines
from support.brokers import HOST, Listener, Mosquitto, wait_until
from support.operator_commands import command, operator, operator_keys
from support.operator_feedback import feedback
from support.signed_bundles import Signer

from edge_app.agent.pull.wiring import push_side
from edge_app.mqtt import dial as dial_module
from edge_app.mqtt.command_messages import Command
from edge_app.mqtt.connection import MQTT_311
from edge_app.mqtt.topics import DeviceName, Topics

pytestmark = pytest.mark.needs("mosquitto")
WHO = DeviceName("graz", "l2", "d3")
TOPIC = Topics(WHO).command("select_product")
ALL_GOOD = 256.0


LogIn = Callable[..., "Operator"]


class Operator:
    """Somebody at the broker: gives commands, reads answers."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.close = listener.close

    def send(self, payload: bytes, topic: str = TOPIC, retain: bool = False) -> None:
        self._listener.publish(topic, payload.decode(), retain)

    def answer_to(self, payload: bytes, number: int = 1) -> dict[str, Any]:
        """Return the answer to these very bytes, once there are so many."""
        digest = hashlib.sha256(payload).hexdigest()

        def found() -> list[dict[str, Any]]:
            said = self._listener.bodies("/agent/answer")
            return [body for body in said if body["command_sha256"] == digest]

        wait_until(lambda: len(found()) >= number, 10, "an answer")
        return found()[number - 1]

    def order(self, given: Command) -> dict[str, Any]:
        """Send a command and return its answer."""
        self.send(given.payload())
        return self.answer_to(given.payload())

    def bodies(self, end: str) -> list[dict[str, Any]]:
        return self._listener.bodies(end)


@pytest.fixture
def log_in() -> Iterator[LogIn]:
    """Return a function that logs somebody in; the name may be left out at an open broker."""
    people: list[Operator] = []

    def make(port: int, user: str | None = None) -> Operator:
        password = PASSWORD if user else None
        listener = Listener(port, WHO.root + "/#", username=user, password=password)
        people.append(Operator(listener))
        return people[-1]

    yield make
    for person in people:
        person.close()


def config_of(folder: Path, port: int, more: str = "") -> Path:
    """Write a configuration whose agent takes commands from this broker."""
    operator_keys(folder / "operators")
    path = write_config(folder, url=TRIGGERED)
    text = path.read_text().replace(
        "[mqtt]\nenabled = false", f'[mqtt]\nhost = "{HOST}"\nport = {port}\n{more}'
    )
    path.write_text(text.replace("[agent]", '[agent]\noperator_keys_dir = "operators"'))
    return path


@contextmanager
def running(config: Path) -> Iterator[tuple[Device, Line]]:
    """Run agent, its side of the broker, and inspection."""
    with device(config, tries_here=True) as (agent, line):
        side = push_side(agent.config, agent.store, agent.agent.install, agent.agent.select)
        agent.agent.listen(side.report)
        side.start()
        try:
            yield agent, line
        finally:
            side.stop()


def install(agent: Device, folder: Path, *products: str) -> None:
    for product in products:
        file = write_release(folder / f"{product}.bundle", manifest_of(product, 3, ALL_GOOD))
        assert agent.install(file).state == "committed"


def test_a_command_changes_the_line_over_within_a_second(
    tmp_path: Path, mosquitto: Mosquitto, log_in: LogIn
) -> None:
    """Two products in turn on a triggered line: answered as done, from the message to its answer in
    under a second (the quickest: others may use the machine too), every trigger judged, the state
    published, and no serial raised or lowered by it."""
    with running(config_of(tmp_path, mosquitto.port)) as (agent, line):
        install(agent, tmp_path, "alpha", "beta")
        person = log_in(mosquitto.port)
        wait_until(lambda: line.judges == "beta 3")
        started = len(line.verdicts)
        took_s = []
        for product in ("alpha", "beta", "alpha", "beta", "alpha"):
            asked_s = time.monotonic()
            said = person.order(command(WHO, product))
            took_s.append(time.monotonic() - asked_s)
            assert said["is_done"], said
            assert (said["slot"], said["product"]) == ("main", product)
            assert said["text"].startswith(f"slot main judges {product} (")
            wait_until(partial(lambda p: line.judges == f"{p} 3", product))
        assert min(took_s) < 1.0
        print(f"from command to answer: {', '.join(f'{s * 1e3:.0f}' for s in took_s)} ms")
        again = person.order(command(WHO, "alpha"))
        assert (again["is_done"], again["text"]) == (True, "slot main judges alpha already")
        assert [r["state"] for r in person.bodies("/reported")][-2:] == ["switching", "committed"]
        assert agent.store.high_water("beta") == 3
        who = changes_of(line.app._config.device.state_dir)[-5:]
        assert {(c.kind, c.via) for c in who} == {("key", "mqtt")}
        assert all(c.name.endswith(operator().key_id[:16]) for c in who)
        assert all(v.state.value != "NOT_INSPECTED" for v in line.verdicts[started:])


def test_a_command_that_cannot_be_carried_out_is_answered_with_the_reason(
    tmp_path: Path, mosquitto: Mosquitto, log_in: LogIn
) -> None:
    """A product that is not installed, another slot, an unknown verb, broken text, a stranger, a
    command sent twice, a stale one, and one that was retained: each is told why, and the line
    judges on with what it had."""
    config = config_of(tmp_path, mosquitto.port)
    retained = command(WHO, "beta")
    early = log_in(mosquitto.port)
    early.send(retained.payload(), retain=True)
    with running(config) as (agent, line):
        why = early.answer_to(retained.payload())
        assert (why["is_done"], "was retained" in why["text"]) == (False, True)
        early.send(b"", retain=True)
        install(agent, tmp_path, "beta", "alpha")
        person = log_in(mosquitto.port)
        for given, words in (
            (command(WHO, "gamma"), "slot main has no product 'gamma'; installed: alpha, beta"),
            (command(WHO, "beta", slot="second"), "there is no slot 'second'; there are: main"),
            (command(WHO, "beta", by=Signer("stranger")), "is no operator's here"),
            (command(WHO, "beta", age_s=120), "it expired at"),
            (command(DeviceName("graz", "l2", "d4"), "beta"), "it is for graz/l2/d4"),
        ):
            said = person.order(given)
            assert (said["is_done"], words in said["text"]) == (False, True), said
        for topic, payload, words in (
            (TOPIC, b"beta, please", "Command refused: it: Invalid JSON"),
            (Topics(WHO).command("stop"), b"{}", "there is no such verb"),
        ):
            person.send(payload, topic)
            said = person.answer_to(payload)
            assert (said["is_done"], words in said["text"], said["slot"]) == (False, True, None)
        assert agent.store.installed("main")["alpha"] == agent.store.active("main")
        wait_until(lambda: line.judges == "alpha 3")
        twice = command(WHO, "beta")
        assert person.order(twice)["is_done"]
        assert person.order(command(WHO, "alpha"))["is_done"]
        person.send(twice.payload())
        said = person.answer_to(twice.payload(), 2)
        assert (said["is_done"], "took it before" in said["text"]) == (False, True)
        wait_until(lambda: line.judges == "alpha 3")


def test_an_operator_revoked_while_the_agent_runs_counts_no_more(
    tmp_path: Path, mosquitto: Mosquitto, log_in: LogIn
) -> None:
    """The folder is read anew for every command, no restart needed; a folder that cannot be read
    refuses commands and says so."""
    config = config_of(tmp_path, mosquitto.port)
    second = Signer("second")
    operator_keys(tmp_path / "operators", second)
    with running(config) as (agent, _):
        install(agent, tmp_path, "alpha", "beta")
        person = log_in(mosquitto.port)
        assert person.order(command(WHO, "alpha"))["is_done"]
        revoked = tmp_path / "operators" / "revoked.txt"
        revoked.write_text(operator().key_id + "\n")
        assert "the revoked key" in person.order(command(WHO, "beta"))["text"]
        assert person.order(command(WHO, "beta", by=second))["is_done"]
        revoked.write_text("no key id\n")
        said = person.order(command(WHO, "alpha", by=second))
        assert (said["is_done"], "is no key id" in said["text"]) == (False, True)


def test_a_command_that_expires_behind_another_order_is_not_carried_out(tmp_path: Path) -> None:
    """Nobody wants a changeover minutes after it was ordered."""
    with device(write_config(tmp_path), tries_here=True) as (agent, _):
        install(agent, tmp_path, "alpha", "beta")
        answers: list[tuple[bool, str]] = []
        agent.agent.select("main", "alpha", lambda *a: answers.append(a), is_late=lambda: True)
        wait_until(lambda: bool(answers))
        assert "expired before its turn came" in answers[0][1]
        assert agent.store.installed("main")["beta"] == agent.store.active("main")


@pytest.mark.parametrize("protocol", ["MQTT 5", "MQTT 3.1.1"])
def test_with_the_shipped_acl_only_the_operator_commands_and_only_the_agent_answers(
    start_mosquitto: Callable[..., Mosquitto],
    tmp_path: Path,
    log_in: LogIn,
    protocol: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Signed commands and feedback of other logins never arrive; what others write as an answer
    neither; the operator's login cannot push bundles."""
    if protocol == "MQTT 3.1.1":
        monkeypatch.setattr(dial_module, "MQTT_5", MQTT_311)
    users = (str(WHO), WHO.root, "watch", "deploy", "operator")
    broker = start_mosquitto(acl_lines(tmp_path, *users), is_open=False)
    login = f'username = "{WHO}"\npassword_file = "password"'
    config = config_of(tmp_path, broker.port, login)
    text = config.read_text().replace(
        "[agent]",
        f'[agent]\nmqtt_username = "{WHO.root}"\nmqtt_password_file = "password"\nfeedback = true',
    )
    config.write_text(text)

    with running(config) as (agent, _):
        install(agent, tmp_path, "alpha", "beta")
        watcher, person = log_in(broker.port, "watch"), log_in(broker.port, "operator")
        forged = command(WHO, "alpha")
        for user in ("watch", "deploy", str(WHO)):
            log_in(broker.port, user).send(forged.payload())
        for user in ("deploy", str(WHO)):
            log_in(broker.port, user).send(b"{}", Topics(WHO).agent_answer)
        person.send(b"{}", Topics(WHO).desired("main"))
        honest = command(WHO, "alpha")
        person.send(honest.payload())
        assert watcher.answer_to(honest.payload())["is_done"]
        assert len(watcher.bodies("/agent/answer")) == 1
        assert watcher.bodies("/main/desired") == []
        said = feedback(WHO, "nobody-7")
        for user in ("watch", "deploy", str(WHO)):
            log_in(broker.port, user).send(said.payload(), Topics(WHO).feedback)
        other = feedback(WHO, "nobody-8")
        person.send(other.payload(), Topics(WHO).feedback)
        answer = watcher.answer_to(other.payload())
        assert (answer["verb"], answer["part_id"]) == ("feedback", "nobody-8")
        assert "There is no part nobody-8 here" in answer["text"]
        assert len(watcher.bodies("/agent/answer")) == 2
