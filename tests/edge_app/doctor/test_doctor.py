"""The doctor's answers on this machine, on made-up ones, and by a real broker."""

from __future__ import annotations

import gc
import io
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console
from support.brokers import MOSQUITTO, patient_s
from support.needs import needing

from edge_app.backends import tensorrt_library
from edge_app.config.load import config_of
from edge_app.config.model import AppConfig
from edge_app.demo.broker import EmbeddedBroker
from edge_app.doctor import checks as doctor_checks
from edge_app.doctor import run as doctor
from edge_app.doctor.broker import check_broker
from edge_app.doctor.checks import (
    check_bundle,
    check_cuda,
    check_module,
    check_secrets,
    check_state_dir,
    check_tensorrt,
)
from edge_app.doctor.configured import check_camera
from edge_app.doctor.run import Check, format_json, has_failed, print_table, run_doctor
from edge_app.host.clock import clock_is_synchronised

PROBE = "inspect/v1/plant1/line1/edge1/probe"


def make_config(folder: Path, **tables: dict[str, Any]) -> AppConfig:
    (folder / "bundle.tar").touch()
    document: dict[str, Any] = {
        "device": {"site": "plant1", "line": "line1", "device": "edge1", "state_dir": "state"},
        "bundle": {"path": "bundle.tar"},
        "camera": [{"name": "cam1", "url": "folder:pictures"}],
        **tables,
    }
    return config_of(document, folder, "test")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_port(folder: Path, port: int, **more: Any) -> AppConfig:
    return make_config(folder, mqtt={"host": "127.0.0.1", "port": port, **more})


@pytest.fixture
@needing("mosquitto")
def broker(tmp_path: Path) -> Iterator[int]:
    """A mosquitto in which `edge` may write its own tree and `guest` may write nothing."""
    port = free_port()
    passwords, acl, settings = (tmp_path / n for n in ("passwd", "acl", "mosquitto.conf"))
    passwords.write_text("edge:secret\nguest:secret\n")
    passwords.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, timeout=10)
    acl.write_text("user edge\ntopic readwrite inspect/v1/plant1/line1/edge1/#\n")
    acl.chmod(0o600)
    settings.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
        f"acl_file {acl}\nuser root\n"
    )
    process = subprocess.Popen(
        [MOSQUITTO, "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("mosquitto did not start")


def login(folder: Path, user: str, password: str) -> dict[str, Any]:
    (folder / "mqtt.password").write_text(password + "\n")
    return {"username": user, "password_file": "mqtt.password"}


def test_machine_alone_is_looked_at_without_a_configuration() -> None:
    """Without a configuration the ten machine checks answer, quickly, in a fixed order."""
    began_s = time.monotonic()
    checks = run_doctor(None)
    assert time.monotonic() - began_s < patient_s(5)
    assert [check.name for check in checks] == [
        "OpenCV",
        "pypylon",
        "PyAV",
        "Aravis",
        "camera plug-ins",
        "ONNX Runtime",
        "OpenVINO",
        "TensorRT",
        "CUDA",
        "clock",
    ]
    by_name = {check.name: check for check in checks}
    assert by_name["OpenCV"].state == "ok"
    assert "FFmpeg yes" in by_name["OpenCV"].detail
    assert "CPUExecutionProvider" in by_name["ONNX Runtime"].detail


def test_everything_that_is_wrong_has_an_advice(tmp_path: Path) -> None:
    """An unusable device: each failure is one sentence with an advice; the result has failed."""
    checks = run_doctor(on_port(tmp_path, free_port()))
    assert {c.name for c in checks if c.state == "fail"} >= {"camera cam1", "bundle", "broker"}
    assert all(check.advice for check in checks if check.state in ("fail", "warning"))
    assert all(check.detail.endswith(".") for check in checks)
    assert has_failed(checks)


def test_hanging_check_is_told_and_does_not_hold_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A driver that never answers becomes one failed line."""
    release = threading.Event()
    questions = [
        ("hanging", lambda: Check("hanging", "ok", str(release.wait(20)))),
        ("raising", lambda: 1 / 0),
        ("fine", lambda: Check("fine", "ok", "Fine.")),
    ]
    monkeypatch.setattr(doctor, "_machine_questions", lambda: questions)
    checks = run_doctor(None, deadline_s=0.2)
    release.set()
    assert [check.state for check in checks] == ["fail", "fail", "ok"]
    assert checks[0].detail == "No answer within 0.2 s."
    assert "ZeroDivisionError: division by zero" in checks[1].detail


def test_table_shows_brackets_and_advice() -> None:
    """Names of tables in brackets are shown, not taken for colours."""
    out = io.StringIO()
    checks = [Check("broker", "fail", "[mqtt] host is wrong.", "Correct [mqtt] host.")]
    print_table(checks, Console(file=out, width=100))
    assert "[mqtt] host is wrong." in out.getvalue()
    assert "→ Correct [mqtt] host." in out.getvalue()


def test_json_holds_the_same() -> None:
    """One object per check with its four fields."""
    check = Check("clock", "warning", "Not synchronised.", "Start chrony.")
    assert json.loads(format_json([check])) == [
        {
            "name": "clock",
            "state": "warning",
            "detail": "Not synchronised.",
            "advice": "Start chrony.",
        }
    ]


def test_clock_answer_is_the_kernels() -> None:
    """On Linux the kernel always answers yes or no."""
    if sys.platform == "linux":
        assert clock_is_synchronised() in (True, False)


def test_module_is_found_without_importing_it() -> None:
    """A present module gives its version, a missing one its advice."""
    assert check_module("rich", "rich", "rich", "").state == "ok"
    missing = check_module("X", "no_such_module_here", "x", "Install it.")
    assert (missing.state, missing.advice) == ("absent", "Install it.")


def test_tensorrt_is_tried_and_its_version_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """None installed; one that is too old, by its version; whatever is here works."""
    if find_spec("tensorrt_rtx_bindings"):
        assert (check_tensorrt().state, "works" in check_tensorrt().detail) == ("ok", True)
    old = ModuleType("tensorrt")
    old.__spec__ = ModuleSpec("tensorrt", None)
    old.__version__ = "8.6.2"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    for module in (tensorrt_library, doctor_checks):
        monkeypatch.setattr(module, "MODULES", ("tensorrt",))
    tensorrt_library.load_tensorrt.cache_clear()
    try:
        check = check_tensorrt()
        assert (check.state, "10.0 or newer" in check.detail) == ("warning", True)
    finally:
        tensorrt_library.load_tensorrt.cache_clear()
    monkeypatch.setattr(doctor_checks, "MODULES", ("no_such_tensorrt",))
    assert check_tensorrt().state == "absent"


def test_cuda_tells_machine_kinds_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU, a Jetson, and a GPU whose driver does not answer."""
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi here
    assert check_cuda(tmp_path).state == "absent"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 1\n")
    assert "Jetson (R36 (release))" in check_cuda(tmp_path).detail
    (tmp_path / "etc" / "nv_tegra_release").unlink()
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    broken = check_cuda(tmp_path)
    assert (broken.state, "nvidia-smi gives no answer" in broken.detail) == ("fail", True)


@pytest.mark.parametrize(
    ("script", "state", "said"),
    [
        ("echo 'NVIDIA H200, 570.1'", "warning", "NVIDIA H200, 570.1; pycuda is not usable"),
        ("exec sleep 30", "fail", "nvidia-smi gives no answer"),
        ("exit 9", "fail", "nvidia-smi gives no answer"),
    ],
)
def test_driver_that_hangs_or_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, state: str, said: str
) -> None:
    """nvidia-smi's first line is shown; one that hangs is given up after 2 s."""
    monkeypatch.setitem(sys.modules, "pycuda", None)  # as on a machine without it
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    check = check_cuda(tmp_path)
    assert (check.state, said in check.detail) == (state, True)


def test_state_folder_is_tried_and_measured(tmp_path: Path) -> None:
    """Not there: a warning, and it is not made; writable: ok and left empty; a file: fail."""
    config = make_config(tmp_path, evidence={"max_mb": 1})
    state_dir = tmp_path / "state"
    assert (check_state_dir(config).state, state_dir.exists()) == ("warning", False)
    state_dir.mkdir()
    assert (check_state_dir(config).state, list(state_dir.iterdir())) == ("ok", [])
    huge = make_config(tmp_path, evidence={"max_mb": 10**12})
    assert check_state_dir(huge).state == "warning"
    state_dir.rmdir()
    state_dir.touch()
    assert check_state_dir(config).state == "fail"


def test_folder_camera_is_opened(tmp_path: Path) -> None:
    """A folder with a picture is ok, without one it fails with the camera's own words."""
    (camera,) = make_config(tmp_path).cameras
    (tmp_path / "pictures").mkdir()
    assert "holds no picture" in check_camera(camera).detail
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), np.zeros((4, 7, 3), np.uint8))
    assert check_camera(camera).state == "ok"


def test_unreadable_bundle_is_explained(tmp_path: Path) -> None:
    """The bundle's own error is the detail."""
    check = check_bundle(make_config(tmp_path))
    assert check.state == "fail"
    assert "bundle.tar" in check.detail


def test_secret_that_others_can_read_is_named(tmp_path: Path) -> None:
    """A world-readable password file is a warning; closed to others it is fine."""
    config = make_config(tmp_path, mqtt=login(tmp_path, "edge", "secret"))
    (tmp_path / "mqtt.password").chmod(0o644)
    loose = check_secrets(config)
    assert (loose.state, "mqtt.password" in loose.detail) == ("warning", True)
    (tmp_path / "mqtt.password").chmod(0o640)
    assert check_secrets(config).state == "ok"


def test_broker_that_is_not_there_is_told_quickly(tmp_path: Path) -> None:
    """A refused connection names host and port."""
    port = free_port()
    check = check_broker(on_port(tmp_path, port))
    assert check.state == "fail"
    assert f"127.0.0.1:{port} cannot be reached: Connection refused." in check.detail


def test_port_that_is_no_broker_is_told(tmp_path: Path) -> None:
    """Something that accepts and says nothing (a TLS port, a web server) is no broker."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began_s = time.monotonic()
        check = check_broker(on_port(tmp_path, silent.getsockname()[1]))
    assert time.monotonic() - began_s < doctor.DEADLINE_S
    assert (check.state, "does not answer as a broker" in check.detail) == ("fail", True)


def test_broker_that_is_switched_off_is_absent(tmp_path: Path) -> None:
    """enabled = false is a choice, not a fault."""
    assert check_broker(make_config(tmp_path, mqtt={"enabled": False})).state == "absent"


def test_broker_that_permits_publishing_is_ok(tmp_path: Path, broker: int) -> None:
    """Login and publish are accepted over MQTT 5."""
    check = check_broker(on_port(tmp_path, broker, **login(tmp_path, "edge", "secret")))
    assert (check.state, check.detail) == (
        "ok",
        f"127.0.0.1:{broker} accepts login and publish (MQTT 5).",
    )


def test_broker_that_refuses_the_publish_is_told(tmp_path: Path, broker: int) -> None:
    """A login without the right to write: the refusal and the topic to allow are shown."""
    check = check_broker(on_port(tmp_path, broker, **login(tmp_path, "guest", "secret")))
    assert check.state == "fail"
    assert "refuses to publish: Not authorized" in check.detail
    assert "write inspect/v1/plant1/line1/edge1/#" in check.advice


def test_broker_that_refuses_the_login_is_told(tmp_path: Path, broker: int) -> None:
    """A wrong password is named as such."""
    check = check_broker(on_port(tmp_path, broker, **login(tmp_path, "edge", "wrong")))
    assert check.state == "fail"
    assert "refuses the login" in check.detail
    assert "password_file" in check.advice


@pytest.mark.needs("the extra demo")
def test_broker_that_speaks_the_older_mqtt_is_proved_by_echo(tmp_path: Path) -> None:
    """amqtt knows 3.1.1 only: the probe has to come back, then it is ok."""
    with EmbeddedBroker() as broker:
        check = check_broker(on_port(tmp_path, broker.port))
    assert (check.state, check.detail) == (
        "ok",
        f"127.0.0.1:{broker.port} accepts login and publish (MQTT 3.1.1).",
    )


# paho 2.2 does not close its socket when the TLS handshake fails; the collector does.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_plain_broker_asked_for_tls_is_told(tmp_path: Path, broker: int) -> None:
    """TLS against a plain port fails with advice instead of hanging."""
    config = on_port(tmp_path, broker, tls=True, **login(tmp_path, "edge", "secret"))
    check = check_broker(config)
    assert check.state == "fail"
    assert check.advice
    gc.collect()
