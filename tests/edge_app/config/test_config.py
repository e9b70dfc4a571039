"""The configuration file: the shipped example, and every kind of mistake."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge_app.config.load import config_of, example_config_text, load_config
from edge_app.config.model import AppConfig
from edge_app.errors import ConfigError
from edge_app.imaging.camera_calibration import Geometry, save_geometry

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MINIMAL = """
[device]
site = "plant1"
line = "line1"
device = "edge1"
[bundle]
path = "bundle.tar"
[[camera]]
name = "cam1"
url = "folder:pictures"
"""


def write(folder: Path, text: str) -> Path:
    (folder / "bundle.tar").touch()
    path = folder / "edge-app.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    """Return the lines of the error that a text leads to."""
    with pytest.raises(ConfigError) as error:
        load_config(write(folder, text))
    return [line.removeprefix("  - ") for line in str(error.value).splitlines()[1:]]


def tables() -> dict[str, type[BaseModel]]:
    """Return table name → model, as written in the file."""
    found = {}
    for name, field in AppConfig.model_fields.items():
        inner = get_args(field.annotation)
        found[field.alias or name] = inner[-1] if name == "slots" else (*inner, field.annotation)[0]
    return found


def example_entries() -> dict[tuple[str, str], tuple[str, str, bool]]:
    """Return (table, key) → (comment, value as written, is set) for every key in the example."""
    found: dict[tuple[str, str], tuple[str, str, bool]] = {}
    table = ""
    comment: list[str] = []
    for line in example_config_text().splitlines():
        if heading := re.match(r"(?:# )?\[+(\w+)(\.main)?\]+$", line):
            table, comment = heading[1], []
        elif entry := re.match(r"(# )?(\w+) = (.+)$", line):
            found[table, entry[2]] = (" ".join(comment), entry[3], entry[1] is None)
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        else:
            comment = []
    return found


ALL_KEYS = [
    (table, key, field)
    for table, model in tables().items()
    for key, field in model.model_fields.items()
]


def test_example_loads(tmp_path: Path) -> None:
    """The shipped example is a valid configuration as it stands."""
    config = load_config(write(tmp_path, example_config_text()))
    assert config.device.site == "plant1"
    assert [camera.name for camera in config.cameras] == ["cam1"]


def test_example_names_every_key_and_no_other() -> None:
    """No key of the models is missing from the example, none is invented."""
    assert set(example_entries()) == {(table, key) for table, key, _ in ALL_KEYS}


@pytest.mark.parametrize(("table", "key", "field"), ALL_KEYS)
def test_example_tells_the_default(table: str, key: str, field: FieldInfo) -> None:
    """Each key has a comment that says its default, or that it is required; both are true."""
    comment, value, is_set = example_entries()[table, key]
    told = re.search(r"(Required|Default: (?P<default>.+?))(?: \(.*\))?\.$", comment)
    assert told, f"[{table}] {key} says neither its default nor that it is required"
    if table == "golden_part":
        assert not is_set, "a file that is copied has no golden part that nobody has"
        is_set = True
    if field.is_required() or (table, key) == ("bundle", "path"):
        assert told["default"] is None
        assert is_set
    elif field.default is None:
        assert (told["default"], is_set) == ("none", table == "golden_part")
    else:
        default = tomllib.loads(f"x = {told['default']}")["x"]
        kept = list(field.default) if isinstance(field.default, tuple) else field.default
        assert default == (str(kept) if isinstance(kept, Path) else kept)
        assert (value, is_set) == (told["default"], True)


def test_keys_that_are_left_out_can_be_switched_on(tmp_path: Path) -> None:
    """Every commented key works when its mark is removed."""
    text = re.sub(r"(?m)^# (\w+ = |\[\[)", r"\1", example_config_text())
    text = text.replace("tls = false", "tls = true")
    text = re.sub(r'(?m)^url = ".*"', 'url = "basler:?trigger=software"', text)
    for name in ("ca.pem", "edge1.pem", "edge1.key", "mqtt.password", "page.token", "page.crt"):
        (tmp_path / name).touch()
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "page.key").touch()
    save_geometry(Geometry((4, 6), None, np.eye(3), {}), tmp_path / "cam1.calibration.json")
    config = load_config(write(tmp_path, text))
    assert config.cameras[0].belt_px_per_s_xy == (120.0, 0.0)
    assert config.cameras[0].trigger_address == ("127.0.0.1", 5001)
    assert config.threshold.is_overridden
    assert config.mqtt.settings().ca_file == tmp_path / "ca.pem"


def test_a_calibration_of_another_kind_is_a_mistake_in_the_file(tmp_path: Path) -> None:
    """Found when the configuration is checked, not when the first part comes."""
    (tmp_path / "cam.json").write_text("{}")
    text = example_config_text().replace(
        '# calibration_file = "cam1.calibration.json"', 'calibration_file = "cam.json"'
    )
    with pytest.raises(ConfigError, match="edge-app camera calibrate"):
        load_config(write(tmp_path, text))


def test_minimal_file_gets_the_defaults(tmp_path: Path) -> None:
    """Three tables are enough; the others exist with their defaults."""
    config = load_config(write(tmp_path, MINIMAL))
    assert (config.mqtt.port, config.page.host, config.runtime.log_level) == (
        1883,
        "127.0.0.1",
        "INFO",
    )
    assert not config.threshold.is_overridden


def test_relative_paths_count_from_the_files_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bundle, state folder and folder camera do not depend on where the command runs."""
    monkeypatch.chdir("/")
    text = MINIMAL.replace('device = "edge1"', 'device = "edge1"\nstate_dir = "state"')
    config = load_config(write(tmp_path, text))
    assert config.bundle.path == tmp_path / "bundle.tar"
    assert config.device.state_dir == tmp_path / "state"
    assert config.cameras[0].url == f"folder:{tmp_path / 'pictures'}"


def test_simulated_line_has_no_path_to_anchor(tmp_path: Path) -> None:
    """An address without a path stays as written."""
    text = MINIMAL.replace("folder:pictures", "sim:tapered")
    assert load_config(write(tmp_path, text)).cameras[0].url == "sim:tapered"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('["06:00", "6:00"]', "06:00 stands twice: each shift begins at a time of its own"),
        ("[]", "expected 1 to 24 times at which a shift begins, got 0"),
        ('["06:00", "2pm"]', "expected a time of the day such as \"06:00\", got '2pm'"),
        ('["24:00"]', "expected a time of the day such as \"06:00\", got '24:00'"),
        ('"06:00"', "Input should be a valid list"),
        ("[06:00:00]", "Input should be a valid string"),
    ],
)
def test_shifts_that_cannot_be_are_told(tmp_path: Path, value: str, said: str) -> None:
    (told,) = problems(tmp_path, MINIMAL.rstrip(" ") + f"\n[page]\nshifts = {value}\n")
    assert told.startswith("[page] shifts")
    assert said in told


def test_shifts_are_put_in_order(tmp_path: Path) -> None:
    """A night shift may be named first, and an hour have one digit."""
    text = MINIMAL.rstrip(" ") + '\n[page]\nshifts = ["22:30", "6:15", "14:00"]\n'
    assert load_config(write(tmp_path, text)).page.shifts == ["06:15", "14:00", "22:30"]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """One run names every mistake with its place."""
    said = problems(
        tmp_path,
        """
        [device]
        site = "plant/1"
        line = "line1"
        [bundle]
        path = "missing.tar"
        [[camera]]
        name = "cam1"
        url = "folder:pictures"
        [[camera]]
        name = "cam2"
        url = "foldr:pictures"
        queue_depth = 0
        [mqtt]
        prot = 1884
        port = "8883"
        """,
    )
    assert said == [
        "[device] site: 'plant/1' cannot be a level of a topic; expected 1 to 64 letters, digits, "
        '"_", ".", "-", beginning with a letter or digit',
        "[device] device is missing",
        f"[bundle] path: the file {tmp_path}/missing.tar does not exist; expected an existing file",
        "[[camera]] no. 2 url: Camera address 'foldr:pictures': unknown scheme 'foldr' "
        "(did you mean 'folder'?). Known: sim, folder, video, v4l2, watch, basler, aravis, rtsp, "
        "rtsps, gstreamer, csi.",
        "[[camera]] no. 2 queue_depth: Input should be greater than or equal to 1, got 0",
        "[mqtt] port: Input should be a valid integer, got '8883'",
        "[mqtt] unknown key 'prot' (did you mean 'port'?); known: enabled, host, port, tls, "
        "ca_file, cert_file, key_file, username, password_file, keepalive_s, reconnect_max_s, "
        "publish_results",
    ]


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("[mqttt]\nport = 1", "unknown table 'mqttt' (did you mean 'mqtt'?)"),
        ("[mqtt]\ncert_file = 'bundle.tar'\ntls = true", "cert_file and key_file belong together"),
        ("[mqtt]\nca_file = 'bundle.tar'", "ca_file or cert_file is given but tls = false"),
        ("[mqtt]\npassword_file = 'bundle.tar'", "password_file without username"),
        ("[mqtt]\nca_file = '.'", "is a folder; expected an existing file"),
        ("[mqtt]\nenabled = 1", "[mqtt] enabled: Input should be a valid boolean, got 1"),
        ("[page]\nhost = '0.0.0.0'", "host '0.0.0.0' lets others see the page: give token_file"),
        ("[page]\nhost = '::'", "host '::' lets others see the page"),
        ("[page]\nhost = 'edge1.example'", "host 'edge1.example' lets others see the page"),
        (
            "[evidence]\nsuspect_per_hour = 400",
            "[evidence] suspect_per_hour = 400 is more than suspect_per_day = 300",
        ),
        ("[evidence]\nsample_percent = 101.0", "less than or equal to 100"),
        ("[evidence]\nrandom_per_day = -1", "greater than or equal to 0"),
        ("[evidence]\nnear_mis_percent = 1", "did you mean 'near_miss_percent'"),
        ("[threshold]\nscore_threshold = 1.0", "needs a reason"),
        ("[threshold]\nmap_threshold = nan\nreason = 'trial run'", "finite number"),
        ("[[camera]]\nname = 'cam1'\nurl = 'folder:x'", "names must differ; used twice: cam1"),
        ("[[camera]]\nname = 'c'\nurl = 'folder:x'\nslot = 'b'", "but one bundle path serves one"),
        ("[slot.other]\nshadow_parts = 1", "no camera belongs to slot other; cameras name main"),
        ("[slot.main]\nshadow_part = 1", "[slot.main] unknown key 'shadow_part' (did you mean"),
        ("[slot.main]\npromote = 'me'", "[slot.main] promote: Input should be 'rule' or 'hand'"),
        (
            "[agent]\nenabled = true\n[threshold]\nscore_threshold = 1.0\nreason = 'trial run'",
            "[threshold] does not go with [agent]",
        ),
        ("[[camera]]\nname = 'c'\nurl = 'folder:x?lop=1'", "did you mean 'loop'"),
        (
            "[[camera]]\nname = 'c'\nurl = 'video:x'\nbelt_px_per_s_xy = [1]",
            "belt_px_per_s_xy: value no. 2 is missing",
        ),
    ],
)
def test_mistake_is_explained(tmp_path: Path, added: str, said: str) -> None:
    """Each mistake gives one line that says what was expected."""
    lines = problems(tmp_path, MINIMAL + added)
    assert len(lines) == 1
    assert said in lines[0]


def test_with_an_agent_slots_bring_the_bundles(tmp_path: Path) -> None:
    """The agent makes `[bundle] path` optional; slots have their own rules, or the defaults."""
    text = MINIMAL.replace('path = "bundle.tar"', "") + "slot = 'left'\n"
    text += "[[camera]]\nname = 'cam2'\nurl = 'folder:x'\n"
    config = load_config(
        write(tmp_path, text + "[agent]\nenabled = true\n[slot.left]\nshadow_parts = 3")
    )
    assert config.slot_names == ("left", "main")
    assert (config.slot("left").shadow_parts, config.slot("main").shadow_parts) == (3, 200)
    assert problems(tmp_path, text) == ["[bundle] path is missing; it is required without [agent]"]


def test_page_beyond_loopback_with_a_token_is_fine(tmp_path: Path) -> None:
    """The token makes it safe; a page that is off needs none."""
    (tmp_path / "token").write_text("secret")
    on = load_config(write(tmp_path, MINIMAL + "[page]\nhost = '0.0.0.0'\ntoken_file = 'token'"))
    assert on.page.token_file == tmp_path / "token"
    off = load_config(write(tmp_path, MINIMAL + "[page]\nhost = '0.0.0.0'\nenabled = false"))
    assert not off.page.enabled


def test_one_bracket_instead_of_two_is_explained(tmp_path: Path) -> None:
    """[camera] for [[camera]] is the likeliest slip."""
    text = MINIMAL.replace("[[camera]]", "[camera]")
    assert problems(tmp_path, text) == [
        "[camera]: write [[camera]], with two brackets: there may be several"
    ]


def test_no_camera_is_an_error(tmp_path: Path) -> None:
    """Without the table, and with an empty list."""
    text = MINIMAL.partition("[[camera]]")[0]
    assert problems(tmp_path, text) == ["camera is missing"]
    assert problems(tmp_path, "camera = []\n" + text) == [
        "[[camera]] there is no camera; add a [[camera]] table with name and url"
    ]


def test_file_that_is_no_toml_says_where(tmp_path: Path) -> None:
    """Syntax errors carry line and column; other encodings and missing files are told apart."""
    with pytest.raises(ConfigError, match=r"not valid TOML: .*line 2"):
        load_config(write(tmp_path, '[device]\nsite = "plant1\n'))
    path = tmp_path / "latin.toml"
    path.write_bytes("# Prüfung".encode("latin-1"))
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(path)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "missing.toml")


def test_configuration_cannot_be_changed_after_loading(tmp_path: Path) -> None:
    """Every table is frozen."""
    config = load_config(write(tmp_path, MINIMAL))
    with pytest.raises(ValueError, match="frozen"):
        config.mqtt.port = 1  # type: ignore[misc]


def test_parsed_document_is_checked_the_same_way(tmp_path: Path) -> None:
    """The demo builds its configuration in memory; mistakes name their origin."""
    document: dict[str, Any] = {"device": {"site": "a", "line": "b", "device": "c"}}
    with pytest.raises(ConfigError, match="Configuration demo has 2 problems"):
        config_of(document, tmp_path, "demo")


def test_a_service_finds_its_secrets_where_systemd_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`credentials/NAME` is beside the file at the shell, and systemd's copy in the service."""
    text = MINIMAL + '[mqtt]\nusername = "edge1"\npassword_file = "credentials/mqtt.password"\n'
    beside, handed_over = tmp_path / "credentials", tmp_path / "run"
    for folder in (beside, handed_over):
        folder.mkdir()
        (folder / "mqtt.password").write_text("secret")
    config = write(tmp_path, text)
    assert load_config(config).mqtt.password_file == beside / "mqtt.password"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(handed_over))
    assert load_config(config).mqtt.password_file == handed_over / "mqtt.password"
    assert load_config(config).bundle.path == tmp_path / "bundle.tar"
