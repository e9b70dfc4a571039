"""The installed command on real pictures, a real graph and a real broker."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.app_config import edge_app, running, write_config
from support.brokers import Listener, Mosquitto, free_port, wait_until
from support.format_2 import with_limits
from support.small_bundles import (
    bright_files,
    bright_manifest,
    write_bright_bundle,
    write_pictures,
)

from edge_app.bundle.archive import write_bundle


def of_event(alerts: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [a for a in alerts if a["event"] == event]


def restart_gaps(listener: Listener) -> list[dict[str, Any]]:
    """Return the gaps that a restart left."""
    gaps = [a["gap"] for a in of_event(listener.bodies("/alert"), "gap")]
    return [g for g in gaps if g["reason"] == "restart"]


def numbers(listener: Listener) -> list[int]:
    """Return the source numbers announced so far, each once, in order of first arrival."""
    news = of_event(listener.bodies("/alert"), "new")
    return list(dict.fromkeys(a["source_number"] for a in news))


@pytest.mark.needs("mosquitto")
def test_run_publishes_exactly_what_inspect_calls_bad(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The same folder through `run` and through `inspect --json`: the same bad parts."""
    folder = write_pictures(tmp_path / "in", 12, {2, 5, 11})
    config = write_config(tmp_path, "folder:in", mosquitto.port)
    listener = Listener(mosquitto.port)
    done = edge_app("run", "--config", str(config))
    assert done.returncode == 0, done.stderr
    inspected = edge_app("inspect", str(folder), "--bundle", str(tmp_path / "a.bundle"), "--json")
    results = [json.loads(line) for line in inspected.stdout.splitlines()]
    bad = [r["picture"] for r in results if r["verdict"] == "NG"]
    assert bad == ["0002.png", "0005.png", "0011.png"]
    wait_until(lambda: len(of_event(listener.bodies("/alert"), "end")) == 3)
    alerts = listener.bodies("/alert")
    listener.close()
    assert [a["source_name"] for a in of_event(alerts, "new")] == bad
    assert [a["seq"] for a in alerts] == list(range(1, 7))
    assert [s["state"] for s in listener.bodies("/status")][-1] == "stopped"


@pytest.mark.needs("mosquitto")
def test_alerts_wait_for_a_broker_that_is_down(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A run stopped while the broker is away keeps its alerts; the next start delivers them."""
    write_pictures(tmp_path / "in", 4, {2})
    config = write_config(tmp_path, "folder:in", mosquitto.port)
    port = mosquitto.port
    mosquitto.stop()
    with running(config) as process:
        state = tmp_path / "state" / "outbox.sqlite"
        wait_until(state.exists, 20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    mosquitto.start()
    listener = Listener(port)
    assert edge_app("run", "--config", str(config)).returncode == 0
    wait_until(lambda: len(of_event(listener.bodies("/alert"), "end")) == 1)
    (new,) = of_event(listener.bodies("/alert"), "new")
    listener.close()
    assert new["source_name"] == "0002.png"


@pytest.mark.needs("mosquitto")
def test_a_killed_run_loses_no_part(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Killed in the middle of a folder, the next run goes on behind the last finished part."""
    write_pictures(tmp_path / "in", 60, set(range(1, 61)))
    config = write_config(tmp_path, "folder:in?interval_s=0.05", mosquitto.port)
    listener = Listener(mosquitto.port, client_id="killed-run")
    for _ in range(2):
        with running(config) as process:
            before = len(of_event(listener.bodies("/alert"), "new"))
            wait_until(
                partial(lambda b: len(of_event(listener.bodies("/alert"), "new")) > b + 5, before),
                30,
            )
            process.kill()
            process.wait(10)
    assert edge_app("run", "--config", str(config)).returncode == 0
    wait_until(lambda: len(numbers(listener)) == 60)
    alerts = listener.bodies("/alert")
    listener.close()
    assert numbers(listener) == list(range(1, 61))
    assert of_event(alerts, "gap") == []


@pytest.mark.needs("mosquitto")
def test_parts_that_passed_while_the_app_was_down_are_a_gap(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """A triggered line goes on while the app is dead: what nobody saw is published as a gap."""
    # Which parts pass depends on the wall clock: under this limit all are bad, whatever they show.
    url = "sim:tapered?mode=triggered&rate=5&epoch=1700000000"
    config = write_config(tmp_path, url, mosquitto.port)
    strict = with_limits(bright_manifest(), score_threshold=1.0)
    write_bundle(tmp_path / "a.bundle", strict, bright_files())
    listener = Listener(mosquitto.port)
    with running(config) as process:
        wait_until(lambda: len(listener.bodies("/alert")) > 2, 30, "the first alerts")
        process.kill()
        process.wait(10)
    with running(config):
        wait_until(lambda: bool(restart_gaps(listener)), 30, "a gap")
    gap = restart_gaps(listener)[0]
    listener.close()
    assert gap["count"] == gap["last_number"] - gap["first_number"] + 1
    assert gap["count"] >= 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("allow_unsigned", "alow_unsigned"), "allow_unsigned"),
        pytest.param(
            ('path = "a.bundle"', 'path = "b.bundle"'),
            "b.bundle does not exist",
            id="change1-b.bundle is not there",
        ),
        (("allow_unsigned = true", "allow_unsigned = false"), "vouches"),
        (("folder:in", "foldr:in"), "folder"),
    ],
)
def test_a_wrong_configuration_says_what_to_do(
    tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    """Bad input ends the command with code 2 and one message that names the remedy."""
    write_pictures(tmp_path / "in", 1, set())
    config = write_config(tmp_path, "folder:in", free_port())
    config.write_text(config.read_text().replace(*change))
    done = edge_app("run", "--config", str(config))
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_check_config_and_example(tmp_path: Path) -> None:
    """`check-config` accepts a good file; `example-config` prints one with every key explained."""
    write_pictures(tmp_path / "in", 1, set())
    config = write_config(tmp_path, "folder:in", 1883)
    done = edge_app("check-config", str(config))
    assert done.returncode == 0
    assert "is fine" in done.stdout
    assert "[[camera]]" in edge_app("example-config").stdout


def test_inspect_of_a_corrupt_picture(tmp_path: Path) -> None:
    """A picture that cannot be read is NOT_INSPECTED; the others are judged."""
    folder = write_pictures(tmp_path / "in", 2, {2})
    (folder / "0001.png").write_bytes(b"no picture")
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    out = tmp_path / "out"
    done = edge_app("inspect", str(folder), "--bundle", str(bundle), "--json", "--out", str(out))
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["verdict"], first["reason"]) == ("NOT_INSPECTED", "corrupt_picture")
    assert second["verdict"] == "NG"
    assert [p.name for p in out.glob("*.jpg")] == ["0002.jpg"]


def test_an_altered_bundle_is_named(tmp_path: Path) -> None:
    """`inspect` with a damaged bundle says which file changed."""
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    raw = bytearray(bundle.read_bytes())
    raw[raw.index(b"ReduceMax")] ^= 1
    bundle.write_bytes(raw)
    done = edge_app("inspect", str(tmp_path), "--bundle", str(bundle))
    assert done.returncode == 2
    assert "changed: inspector.onnx" in done.stderr
