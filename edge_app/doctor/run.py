"""`edge-app doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge_app.config.model import AppConfig
from edge_app.doctor.broker import check_broker
from edge_app.doctor.checks import (
    Check,
    CheckState,
    check_aravis,
    check_bundle,
    check_camera_plugins,
    check_clock,
    check_cuda,
    check_module,
    check_onnxruntime,
    check_opencv,
    check_openvino,
    check_secrets,
    check_state_dir,
    check_tensorrt,
)
from edge_app.doctor.configured import (
    check_backend,
    check_camera,
    check_certificate,
    check_evidence,
    check_pictures,
)
from edge_app.doctor.keys import check_keys, check_operator_keys

__all__ = ["Check", "CheckState", "format_json", "has_failed", "print_table", "run_doctor"]

DEADLINE_S = 4.5
"""For all checks together, which run in parallel; a name server that hangs takes much longer."""

Question = tuple[str, Callable[[], Check]]

_STYLES = {"ok": "green", "warning": "yellow", "fail": "bold red", "absent": "dim"}


def run_doctor(config: AppConfig | None, deadline_s: float = DEADLINE_S) -> list[Check]:
    """Return every check's result, in a fixed order, within the deadline. Never raises.

    Args:
        config: without it only the machine is checked, not broker, disk, bundle and cameras.
    """
    asked = [] if config is None else [*_offline_questions(config), *_online_questions(config)]
    return _answers([*_machine_questions(), *asked], deadline_s)


def check_configured(config: AppConfig, deadline_s: float = DEADLINE_S) -> list[Check]:
    """Return what `edge-app run` would stumble over on this machine, network and disk left out.

    Never raises.
    """
    return _answers(_offline_questions(config), deadline_s)


def _answers(questions: list[Question], deadline_s: float) -> list[Check]:
    answers: dict[int, Check] = {}
    threads = [_ask(number, question, answers) for number, question in enumerate(questions)]
    until_s = time.monotonic() + deadline_s
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
    return [answers.get(n) or _no_answer(name, deadline_s) for n, (name, _) in enumerate(questions)]


def has_failed(checks: list[Check]) -> bool:
    """Tell whether something will not work; the command's exit code follows it."""
    return any(check.state == "fail" for check in checks)


def format_json(checks: list[Check]) -> str:
    """Return `[{"name", "state", "detail", "advice"}, ...]`."""
    return json.dumps([dataclasses.asdict(check) for check in checks], indent=2, ensure_ascii=False)


def print_table(checks: list[Check], console: Console | None = None) -> None:
    """Print one row per check; colours only on a terminal."""
    table = Table("check", "state", box=None, pad_edge=False)
    table.add_column("what was found, and what to do", overflow="fold")
    for check in checks:
        said = check.detail + (f"\n→ {check.advice}" if check.advice else "")
        table.add_row(check.name, f"[{_STYLES[check.state]}]{check.state}[/]", escape(said))
    (console or Console()).print(table)


def _machine_questions() -> list[Question]:
    pylon = "For Basler cameras: install the extra `basler` (pypylon)."
    av = "For network cameras: install the extra `rtsp` (av)."
    return [
        ("OpenCV", check_opencv),
        ("pypylon", lambda: check_module("pypylon", "pypylon", "pypylon", pylon)),
        ("PyAV", lambda: check_module("PyAV", "av", "av", av)),
        ("Aravis", check_aravis),
        ("camera plug-ins", check_camera_plugins),
        ("ONNX Runtime", check_onnxruntime),
        ("OpenVINO", check_openvino),
        ("TensorRT", check_tensorrt),
        ("CUDA", check_cuda),
        ("clock", check_clock),
    ]


def _offline_questions(config: AppConfig) -> list[Question]:
    cameras: list[Question] = [
        (f"camera {camera.name}", partial(check_camera, camera)) for camera in config.cameras
    ]
    return [
        *cameras,
        ("backend", lambda: check_backend(config)),
        ("bundle", lambda: check_bundle(config)),
        ("trusted keys", lambda: check_keys(config, datetime.now(timezone.utc))),
        ("operators' keys", lambda: check_operator_keys(config, datetime.now(timezone.utc))),
        ("evidence", lambda: check_evidence(config)),
        ("pictures", lambda: check_pictures(config)),
        ("page", lambda: check_certificate(config)),
        ("secrets", lambda: check_secrets(config)),
    ]


def _online_questions(config: AppConfig) -> list[Question]:
    return [
        ("disk", lambda: check_state_dir(config)),
        ("broker", lambda: check_broker(config)),
    ]


def _ask(number: int, question: Question, answers: dict[int, Check]) -> threading.Thread:
    """Start one check in a daemon thread, so that one that hangs does not block the command."""
    name, check = question

    def answer() -> None:
        try:
            answers[number] = check()
        except Exception as error:
            detail = f"The check itself failed: {type(error).__name__}: {error}."
            answers[number] = Check(name, "fail", detail, "Please report this with the whole line.")

    thread = threading.Thread(target=answer, name=f"doctor-{name}", daemon=True)
    thread.start()
    return thread


def _no_answer(name: str, deadline_s: float) -> Check:
    detail = f"No answer within {deadline_s:g} s."
    return Check(name, "fail", detail, "Something hangs: a driver, the network or a name server.")
