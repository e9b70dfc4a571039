"""What a configuration needs and this machine or its folders lack: `check-config` and `doctor`."""

from __future__ import annotations

import importlib.util
import json
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.picture_files import png
from support.signed_bundles import Signer, write_signed
from support.small_bundles import write_bright_bundle

from edge_app.backends.tensorrt_library import MODULES
from edge_app.cameras.registry import FAMILIES
from edge_app.cli.main import main
from edge_app.config.load import config_of
from edge_app.config.model import AppConfig
from edge_app.doctor import configured as doctor_configured
from edge_app.doctor.configured import LIBRARIES, check_backend, check_camera, check_evidence
from edge_app.imaging import oriented_box

GOOD = """
[device]
site = "graz"
line = "l2"
device = "d3"
state_dir = "state"
[bundle]
path = "a.bundle"
allow_unsigned = true
[[camera]]
name = "cam1"
url = "folder:pictures"
[mqtt]
host = "127.0.0.1"
port = 1
"""

Told = tuple[int, str, str]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration in order: pictures and bundle lie beside it."""
    write_bright_bundle(tmp_path / "a.bundle")
    (tmp_path / "pictures").mkdir()
    grey = np.full((64, 64, 3), 90, np.uint8)
    (tmp_path / "pictures" / "1.png").write_bytes(png(grey))
    (tmp_path / "edge-app.toml").write_text(GOOD)
    return tmp_path / "edge-app.toml"


def edge_app(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Told:
    code = main([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


def squeezed(text: str) -> str:
    """Return a text without blanks and line breaks: a table folds long words."""
    return "".join(text.split())


def changed(config: Path, old: str, new: str) -> None:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


def test_a_configuration_in_order_is_fine(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = edge_app(capsys, "check-config", config)
    assert code == 0, out + err
    assert "is fine: cameras cam1, broker 127.0.0.1:1." in out
    code, out, _ = edge_app(capsys, "check-config", config, "--json")
    checks = {check["name"]: check["state"] for check in json.loads(out)}
    assert code == 0
    assert checks["configuration"] == checks["camera cam1"] == "ok"
    assert "fail" not in checks.values()


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("", "4096 MB hold pictures of 7.0 days at 3 parts a second, 1% bad and 112 kB a picture"),
        ("max_mb = 1024", "1024 MB hold pictures of 1.8 days"),
        ("max_age_h = 48.0", "4096 MB hold pictures of 2.0 days"),
        ("enabled = false", "no pictures are kept"),
    ],
)
def test_how_far_back_pictures_go_is_said(
    config: Path, capsys: pytest.CaptureFixture[str], table: str, told: str
) -> None:
    """For the limits at hand; it is no fault, whatever they are."""
    changed(config, "[mqtt]", f"[evidence]\n{table}\n[mqtt]")
    code, out, _ = edge_app(capsys, "check-config", config, "--json")
    (check,) = (check for check in json.loads(out) if check["name"] == "pictures")
    assert code == 0
    assert told in check["detail"]
    assert check["state"] in ("ok", "absent")


@pytest.mark.parametrize(
    ("old", "new", "name", "told"),
    [
        ("folder:pictures", "folder:gone", "camera cam1", "gone"),
        ("folder:pictures", "video:gone.mkv", "camera cam1", "gone.mkv"),
        ("folder:pictures", "watch:gone", "camera cam1", "gone"),
        ("allow_unsigned = true", "", "bundle", "nothing vouches for it"),
        ("allow_unsigned = true", 'trusted_keys_dir = "keys"', "bundle", "keys cannot be read"),
        (
            "[mqtt]",
            '[page]\nhost = "0.0.0.0"\ntoken_file = "token"\n[evidence]\n'
            'base_url = "http://127.0.0.1:8080"\n[mqtt]',
            "evidence",
            "every other machine takes for itself",
        ),
        ("[mqtt]", '[runtime]\nbackend = "tensorrt"\n[mqtt]', "backend", "no TensorRT"),
    ],
)
def test_what_run_would_stumble_over_is_found(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    name: str,
    told: str,
) -> None:
    """By both commands, as text and as JSON: the same check, with what to do; code 2 and 1."""
    without(monkeypatch, *MODULES)
    (config.parent / "token").write_text("x" * 40)
    changed(config, old, new)
    code, out, err = edge_app(capsys, "check-config", config)
    assert code == 2
    assert squeezed(told) in squeezed(err)
    assert out == ""
    for words, wanted in (("check-config", config), 2), (("doctor", "--config", config), 1):
        code, out, _ = edge_app(capsys, *words, "--json")
        assert code == wanted
        (check,) = (check for check in json.loads(out) if check["name"] == name)
        assert check["state"] == "fail"
        assert told in check["detail"]
        assert check["advice"]


def test_an_unsigned_bundle_where_keys_are_trusted_is_found(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a signed one is not complained about."""
    signer = Signer("line1")
    (config.parent / "keys").mkdir(mode=0o755)
    (config.parent / "keys" / "line1.pub").write_bytes(
        signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    changed(config, "allow_unsigned = true", 'trusted_keys_dir = "keys"')
    code, _, err = edge_app(capsys, "check-config", config)
    assert code == 2
    assert squeezed("is not signed") in squeezed(err)
    write_signed(config.parent / "a.bundle", signer)
    code, out, err = edge_app(capsys, "check-config", config)
    assert code == 0, out + err


@pytest.mark.parametrize("text", [None, "[device", GOOD.replace("[mqtt]", "[mqqt]")])
def test_a_configuration_that_is_none_is_json_too(
    config: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    """Missing, no TOML, an unknown table: code 2 everywhere, one object that says it."""
    config.unlink()
    if text is not None:
        config.write_text(text)
    for words in (("check-config", config), ("doctor", "--config", config)):
        code, out, _ = edge_app(capsys, *words, "--json")
        assert code == 2
        first = json.loads(out)[0]
        assert (first["name"], first["state"]) == ("configuration", "fail")
        assert edge_app(capsys, *words)[:2] == (2, "")


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Let some modules not be installed."""
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in modules else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def configured(url: str, **tables: dict[str, Any]) -> AppConfig:
    document: dict[str, Any] = {
        "device": {"site": "a", "line": "b", "device": "c"},
        "bundle": {},
        "agent": {"enabled": True},
        "camera": [{"name": "cam1", "url": url}],
        **tables,
    }
    return config_of(document, Path(), "test")


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("rtsp://cam/stream", "av", "rtsp"),
        ("basler:", "pypylon", "basler"),
    ],
)
def test_a_library_that_a_camera_needs_is_an_error(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str
) -> None:
    """Optional for others, not for this configuration; how it comes to a device is said."""
    without(monkeypatch, module)
    (camera,) = configured(url).cameras
    check = check_camera(camera)
    assert check.state == "fail"
    assert module in check.detail
    assert f"--extras {extra}" in check.advice


@pytest.mark.parametrize("url", ["aravis:10.0.0.1", "gstreamer:videotestsrc", "csi:0"])
def test_system_libraries_are_tried(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """In the Python that would run the driver: without one they are missing."""
    monkeypatch.setattr(doctor_configured, "python_with", lambda _: "/bin/false")
    (camera,) = configured(url).cameras
    check = check_camera(camera)
    assert check.state == "fail"
    assert "apt install" in check.advice


def test_every_camera_with_a_driver_has_its_library() -> None:
    """A new family cannot be forgotten: its driver's module is in the table."""
    drivers = Path(oriented_box.__file__).parents[1] / "cameras" / "drivers"
    names = {path.stem for path in drivers.glob("*.py")} - {"__init__"}
    assert names == set(LIBRARIES)
    assert names <= {family.module.rpartition(".")[2] for family in FAMILIES}


def test_a_device_that_is_not_plugged_in_is_a_warning() -> None:
    (camera,) = configured("v4l2:/dev/video99").cameras
    assert check_camera(camera).state == "warning"


@pytest.mark.parametrize(
    ("page", "broker", "base_url", "state"),
    [
        ("127.0.0.1", "127.0.0.1", None, "ok"),
        ("127.0.0.1", "broker.plant", None, "warning"),
        ("127.0.0.1", "broker.plant", "https://edge1.plant", "ok"),
        ("0.0.0.0", "broker.plant", "http://localhost:8080", "fail"),
        ("0.0.0.0", "broker.plant", "http://[::1]:8080", "fail"),
        ("10.0.0.5", "broker.plant", "http://10.0.0.5:8080", "ok"),
    ],
)
def test_the_address_of_pictures_is_judged_by_who_reads_it(
    tmp_path: Path, page: str, broker: str, base_url: str | None, state: str
) -> None:
    token = tmp_path / "token"
    token.write_text("x" * 40)
    found = configured(
        "sim:tapered",
        page={"host": page, "token_file": str(token)},
        mqtt={"host": broker},
        evidence={} if base_url is None else {"base_url": base_url},
    )
    assert check_evidence(found).state == state


def test_a_backend_that_is_chosen_by_itself_is_fine() -> None:
    assert check_backend(configured("sim:tapered")).state == "ok"
