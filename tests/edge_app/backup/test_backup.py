"""A backup makes another machine this device: all of it or nothing, and no number twice."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.alert_drafts import draft
from support.app_config import write_config

from edge_app.backup.archive import LIST, opened
from edge_app.cli.main import main
from edge_app.config.load import load_config
from edge_app.errors import ConfigError
from edge_app.mqtt.outbox import Outbox

SERIALS = {"part-a": 7, "part-b": 3}


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """Return the configuration of a device with keys, a password, a token and an agent's store."""
    folder = tmp_path / "etc"
    folder.mkdir()
    for name, text in {
        "trusted_keys/line1.pub": "KEY 1", "trusted_keys/revoked.txt": "aa\nbb\n",
        "operator_keys/anna.pub": "ANNA", "mqtt.password": "pass", "page.token": "t" * 20,
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o640)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "ca.pem").write_text("CA")
    config = write_config(
        folder, f"rtsp://anna:pa/ss@{'h'}/s", 1883, mqtt='username = "d3"\ntls = true\n'
        f'password_file = "mqtt.password"\nca_file = "{tmp_path}/elsewhere/ca.pem"',
        more='[agent]\nenabled = true\nstore_dir = "store"\noperator_keys_dir = "operator_keys"\n'
        'mqtt_username = "a"\nmqtt_password_file = "mqtt.password"\n',
    )  # fmt: skip
    text = config.read_text()
    text = text.replace("[bundle]", '[bundle]\ntrusted_keys_dir = "trusted_keys"')
    text = text.replace("allow_unsigned = true", "allow_unsigned = false")
    text = text.replace("[page]\nenabled = false", '[page]\nport = 8081\ntoken_file = "page.token"')
    config.write_text(text)
    state = folder / "store" / "state"
    state.mkdir(parents=True)
    (state / "serials.json").write_text(json.dumps(SERIALS))
    (state / "commands.json").write_text('{"commands":{"c1":"2026-11-29T10:00:00Z"}}')
    (state / "pointer-main.json").write_text('{"handled":["p1"]}')
    (state / "intent-main.json").write_text("{}")
    return config


@pytest.fixture
def archive(device: Path, tmp_path: Path) -> Path:
    out = tmp_path / "d3.backup"
    assert main(["backup", "--config", str(device), "--out", str(out)]) == 0
    return out


def test_a_new_machine_becomes_the_device(device: Path, archive: Path, tmp_path: Path) -> None:
    """Every file with its bytes, for nobody else to read; the configuration can be used."""
    assert archive.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".*.part"))
    (tmp_path / "elsewhere" / "ca.pem").unlink()
    new = tmp_path / "new" / "cropliq"
    new.parent.mkdir()
    assert main(["restore", str(archive), "--into", str(new)]) == 0
    for name in ("edge-app.toml", "a.bundle", "trusted_keys/line1.pub", "trusted_keys/revoked.txt",
                 "operator_keys/anna.pub", "mqtt.password", "page.token",
                 "store/state/serials.json", "store/state/pointer-main.json"):  # fmt: skip
        assert (new / name).read_bytes() == (device.parent / name).read_bytes()
        mode = (device.parent / name).stat().st_mode & 0o777
        assert (new / name).stat().st_mode & 0o777 == mode & 0o755 | 0o600
    assert (tmp_path / "elsewhere" / "ca.pem").read_text() == "CA"
    assert not (new / "store" / "state" / "intent-main.json").exists()
    assert load_config(new / "edge-app.toml").cameras == load_config(device).cameras


def test_people_come_along(device: Path, tmp_path: Path) -> None:
    """Who may log in, and with what; codes and passwords are digests there."""
    people = device.parent / "state" / "page" / "people.json"
    people.parent.mkdir(parents=True)
    people.write_text('{"format": 1}')
    people.chmod(0o600)
    out, new = tmp_path / "people.backup", tmp_path / "new"
    assert main(["backup", "--config", str(device), "--out", str(out)]) == 0
    assert main(["restore", str(out), "--into", str(new)]) == 0
    back = new / "state" / "page" / "people.json"
    assert (back.read_text(), back.stat().st_mode & 0o777) == ('{"format": 1}', 0o600)


def test_a_dry_run_changes_nothing(
    archive: Path, device: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It shows each file and what would become of it."""
    (device.parent / "mqtt.password").write_text("newer")
    before = snapshot(tmp_path)
    assert main(["restore", str(archive), "--into", str(device.parent), "--dry-run"]) == 0
    assert snapshot(tmp_path) == before
    said = capsys.readouterr().out
    assert f"replaced {device.parent}/mqtt.password" in said
    assert "kept as mqtt.password.before-restore-1" in said
    assert f"same     {device}" in said


def test_what_only_grows_is_not_set_back(archive: Path, device: Path) -> None:
    """Serials, commands that were taken, revoked keys; what is replaced is kept."""
    folder, state = device.parent, device.parent / "store" / "state"
    (state / "serials.json").write_text(json.dumps({"part-a": 9, "part-c": 1}))
    (state / "commands.json").write_text('{"commands":{"c2":"2026-11-29T11:00:00Z"}}')
    (state / "pointer-main.json").write_text('{"handled":["p1","p2"]}')
    (folder / "trusted_keys" / "revoked.txt").write_text("aa\ncc\n")
    (folder / "mqtt.password").write_text("newer")
    for _ in range(2):
        assert main(["restore", str(archive), "--into", str(folder)]) == 0
    serials = json.loads((state / "serials.json").read_text())
    assert serials == {"part-a": 9, "part-b": 3, "part-c": 1}
    assert set(json.loads((state / "commands.json").read_text())["commands"]) == {"c1", "c2"}
    assert json.loads((state / "pointer-main.json").read_text()) == {"handled": ["p1", "p2"]}
    revoked = (folder / "trusted_keys" / "revoked.txt").read_text().split()
    assert revoked == ["aa", "cc", "bb"]
    assert (folder / "mqtt.password").read_text() == "pass"
    assert (folder / "mqtt.password.before-restore-1").read_text() == "newer"
    assert not (folder / "mqtt.password.before-restore-2").exists()


def test_no_number_comes_twice_whatever_the_backups_age(archive: Path, device: Path) -> None:
    """Alerts that wait stay; the numbering has another id after each restore."""
    state = device.parent / "state"
    used: set[tuple[str, int]] = set()
    ids = set()
    for round_ in range(4):
        outbox = Outbox(state / "outbox.sqlite", 1000, 1 << 16)
        store_id = outbox.health().store_id
        ids.add(store_id)
        assert outbox.depth() == round_ * 3
        for number in range(1, 4):
            (seq,) = outbox.append([draft(number)])
            assert (store_id, seq) not in used
            used.add((store_id, seq))
        with pytest.raises(ConfigError, match=r"the device is running\. Stop it first"):
            restore_in_process(archive, device.parent)
        outbox.close()
        assert main(["restore", str(archive), "--into", str(device.parent)]) == 0
    assert len(ids) == 4


def restore_in_process(archive: Path, folder: Path) -> None:
    from edge_app.backup.restore import plan_restore

    with opened(archive) as whole:
        plan_restore(whole, folder)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_any_damage_is_refused_before_anything_changes(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bits all over the archive, cut at many places: one sentence, exit 2, an empty machine."""
    data = archive.read_bytes()
    bad = tmp_path / "bad.backup"
    new = tmp_path / "new"
    places = range(0, len(data), max(1, len(data) // 60))
    variants = [data[:at] for at in places]
    variants += [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in places]
    refused = 0
    for variant in variants:
        bad.write_bytes(variant)
        code = main(["restore", str(bad), "--into", str(new), "--dry-run"])
        said = capsys.readouterr().err
        assert code in (0, 2)  # padding between files carries nothing
        assert "Traceback" not in said
        refused += code == 2
        if code == 2:
            assert main(["restore", str(bad), "--into", str(new)]) == 2
            assert not new.exists()
    assert refused > len(variants) * 0.6


def rewritten(archive: Path, change: Callable[[dict[str, Any]], None], **more: bytes) -> Path:
    """Return a copy whose list is changed and which holds further members."""
    out = archive.with_suffix(".changed")
    with tarfile.open(archive) as old, tarfile.open(out, "w") as new:
        for member in old:
            stream = old.extractfile(member)
            assert stream is not None
            data = stream.read()
            if member.name == LIST:
                listing = json.loads(data)
                change(listing)
                data = json.dumps(listing).encode()
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
        for name, data in more.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))
    return out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.update(format="cropliq-backup/2", release="9.0"), "made by release '9.0'"),
        (lambda x: x["files"][1].update(part="later"), "holds later, which this release"),
        (lambda x: x["files"][1].update(name="configuration/../../x"), "no name of a backup"),
        (lambda x: x["files"][1].update(name="absolute//etc/x"), "no name of a backup"),
        (lambda x: x["files"].pop(), "not in its list"),
        (lambda x: x["files"].append(x["files"][0]), "names a file twice"),
        (lambda x: x.update(config_name="other.toml"), "the configuration is missing"),
        (lambda x: x.update(config_name="../x"), "cannot be read"),
        (lambda x: x["files"][0].update(sha256="0" * 64), "other bytes than its list says"),
        (lambda x: x["files"][0].update(mode=0o4755), "cannot be read"),
    ],
)
def test_a_wrong_list_is_refused(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, object]], None], said: str,
) -> None:  # fmt: skip
    """Another release's archive is named as such; names lead nowhere else."""
    wrong = rewritten(archive, change)
    assert main(["restore", str(wrong), "--into", str(tmp_path / "new")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_list_with_more_keys_is_read(archive: Path, tmp_path: Path) -> None:
    """A later release of the same format may say more."""
    more = rewritten(archive, lambda x: x.update(note="made at night"))
    assert main(["restore", str(more), "--into", str(tmp_path / "new")]) == 0


def test_a_file_that_the_configuration_does_not_name_is_refused(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An archive writes nowhere but where its own configuration points."""
    data = b"* * * * * root id"
    import hashlib

    name = f"absolute{tmp_path}/cron"
    entry = {"name": name, "part": "keys", "mode": 0o600,
             "sha256": hashlib.sha256(data).hexdigest(), "length": len(data)}  # fmt: skip

    def add(listing: dict[str, Any]) -> None:
        listing["files"].append(entry)

    wrong = rewritten(archive, add, **{name: data})
    assert main(["restore", str(wrong), "--into", str(tmp_path / "new")]) == 2
    assert "which its configuration does not name" in capsys.readouterr().err
    assert not (tmp_path / "cron").exists()


def test_wrong_use_is_a_sentence(
    archive: Path, device: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No overwriting, no archive, no configuration, a bundle in its place, no place to write."""
    bundle, pipe = device.parent / "a.bundle", tmp_path / "pipe"
    os.mkfifo(pipe)
    for words, said in (
        (["backup", "--config", str(device), "--out", str(archive)], "is there already"),
        (["backup", "--config", str(tmp_path / "x"), "--out", str(tmp_path / "y")], "No such file"),
        (["backup", "--config", str(device), "--out", "/proc/x"], "."),
        (["restore", str(tmp_path / "gone")], "No such file"),
        (["restore", str(device)], "is no backup of this product"),
        (["restore", str(bundle)], "is no backup of this product"),
        (["restore", str(tmp_path)], "is no file"),
        (["restore", str(pipe)], "is no file"),
    ):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert said in err
        assert "Traceback" not in err
    broken = tmp_path / "edge-app.toml"
    broken.write_bytes(device.read_bytes() + b"\n[nonsense]\n")
    assert main(["backup", "--config", str(broken), "--out", str(tmp_path / "y")]) == 2


def test_a_configuration_that_this_release_cannot_use_changes_nothing(
    archive: Path, device: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a downgrade: an unknown key is named before anything is replaced."""
    import hashlib

    text = device.read_bytes() + b"\n[tomorrow]\ndays = 3\n"

    def change(listing: dict[str, object]) -> None:
        first = listing["files"][0]  # type: ignore[index]
        first.update(sha256=hashlib.sha256(text).hexdigest(), length=len(text))

    out = tmp_path / "newer.backup"
    with tarfile.open(archive) as old, tarfile.open(out, "w") as new:
        for member in old:
            stream = old.extractfile(member)
            assert stream is not None
            data = stream.read()
            if member.name == LIST:
                listing = json.loads(data)
                change(listing)
                data = json.dumps(listing).encode()
            elif member.name == "configuration/edge-app.toml":
                data = text
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    assert main(["restore", str(out), "--into", str(tmp_path / "new")]) == 2
    assert "unknown table 'tomorrow'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_under_another_umask_the_files_are_the_same(
    archive: Path, device: Path, tmp_path: Path
) -> None:
    """umask 077 and umask 000: the group may read keys, others nothing, the archive is private."""
    for umask in (0o077, 0o000):
        old = os.umask(umask)
        try:
            new, out = tmp_path / f"n{umask}", tmp_path / f"o{umask}"
            assert main(["backup", "--config", str(device), "--out", str(out)]) == 0
            assert main(["restore", str(archive), "--into", str(new)]) == 0
        finally:
            os.umask(old)
        assert out.stat().st_mode & 0o777 == 0o600
        assert (new / "mqtt.password").stat().st_mode & 0o777 == 0o640
