"""The doctor says whose bundles and commands count here, until when, and who could change that."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from deploy.bundles.keys import generate_key
from edge_app.config.load import config_of
from edge_app.config.model import AppConfig
from edge_app.doctor.checks import Check
from edge_app.doctor.keys import check_keys, check_operator_keys

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def config(
    folder: Path, keys: str | None = "keys", agent: dict[str, object] | None = None
) -> AppConfig:
    (folder / "a.bundle").touch()
    bundle = {"path": "a.bundle"} | ({} if keys is None else {"trusted_keys_dir": keys})
    document = {
        "device": {"site": "graz", "line": "l2", "device": "d3"},
        "bundle": bundle,
        "camera": [{"name": "cam1", "url": "folder:in"}],
        "agent": agent or {},
    }
    return config_of(document, folder, "test")


def check(folder: Path, *ends: datetime | None) -> Check:
    """Return the answer for a folder with a key for each end."""
    for number, end in enumerate(ends):
        generate_key(folder / "keys", f"key{number}", None, end)
    if ends:
        (folder / "keys").chmod(0o755)
    return check_keys(config(folder), NOON)


def test_keys_are_named_with_their_end(tmp_path: Path) -> None:
    """Names, ids and ends of the keys that count, and the number of revoked ones."""
    found = check(tmp_path, None, NOON + 100 * DAY)
    assert found.state == "ok"
    assert "key0 (" in found.detail
    assert "until 2027-03-02" in found.detail
    assert found.detail.endswith("0 revoked.")


def test_the_last_key_about_to_end_is_a_warning(tmp_path: Path) -> None:
    """A month ahead it is said that soon nothing can be installed; another key silences it."""
    assert check(tmp_path, NOON + 29 * DAY).state == "warning"
    generate_key(tmp_path / "keys", "next", None, None)
    assert check(tmp_path).state == "ok"


@pytest.mark.parametrize("name", ["", "key0.pub"])
def test_keys_that_others_can_write_are_a_warning(tmp_path: Path, name: str) -> None:
    """Whoever can write the folder or a key in it decides what is inspected."""
    check(tmp_path, None)
    (tmp_path / "keys" / name).chmod(0o777)
    found = check_keys(config(tmp_path), NOON)
    assert found.state == "warning"
    assert "chmod go-w" in found.advice


def test_no_keys(tmp_path: Path) -> None:
    """No folder configured is a choice; one that is not there is a failure."""
    assert check_keys(config(tmp_path, None), NOON).state == "absent"
    assert check_keys(config(tmp_path), NOON).state == "fail"


def test_keys_that_only_root_can_read_are_a_warning(tmp_path: Path) -> None:
    """Copied by root with a tight umask: root's doctor can read it, the service could not."""
    check(tmp_path, None)
    key = tmp_path / "keys" / "key0.pub"
    key.chmod(0o600)
    found = check_keys(config(tmp_path), NOON)
    if key.stat().st_uid == 0:
        assert found.state == "warning"
        assert f"chmod g+rX {key}" in found.advice
    else:  # its owner may be the service's own user
        assert found.state == "ok"


def operators(folder: Path, *ends: datetime | None, **agent: object) -> Check:
    """Return the answer about operators, one with a key for each end."""
    for number, end in enumerate(ends):
        generate_key(folder / "people", f"anna{number}", None, end)
    settings = {"enabled": True, "operator_keys_dir": "people"} | agent
    return check_operator_keys(config(folder, agent=settings), NOON)


def test_operators_are_named(tmp_path: Path) -> None:
    """Whose commands count, and until when."""
    found = operators(tmp_path, None, NOON + 100 * DAY)
    assert (found.state, found.advice) == ("ok", "")
    assert f"{tmp_path}/people: anna0 (" in found.detail
    assert "until 2027-03-02" in found.detail


@pytest.mark.parametrize("agent", [{}, {"enabled": False, "operator_keys_dir": "people"}])
def test_without_commands_operators_are_not_looked_at(
    tmp_path: Path, agent: dict[str, object]
) -> None:
    """No folder named, or no agent: nothing to complain about, whatever the folder holds."""
    found = check_operator_keys(config(tmp_path, agent=agent), NOON)
    assert (found.state, found.advice) == ("absent", "")
    assert "cmd/select_product is off" in found.detail


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        ({}, "holds no trusted key"),
        ({"anna.pub": "not a key"}, "is no PEM public key"),
        ({"anna.pub/x": ""}, "Is a directory"),
    ],
)
def test_operators_whose_keys_cannot_be_used_are_a_failure(
    tmp_path: Path, content: dict[str, str] | None, said: str
) -> None:
    """No folder, no key in it, one that is none: the agent would not start, and why."""
    if content is not None:
        (tmp_path / "people").mkdir()
        for name, text in content.items():
            (tmp_path / "people" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "people" / name).write_text(text)
    found = operators(tmp_path)
    assert found.state == "fail"
    assert said in found.detail
    assert "edge-deploy package --operator-keys" in found.advice


def test_operators_keys_that_end(tmp_path: Path) -> None:
    """Expired: no command can be taken. In a month: a warning. Another key: nothing."""
    assert operators(tmp_path, NOON).state == "fail"
    generate_key(tmp_path / "people", "soon", None, NOON + 29 * DAY)
    found = operators(tmp_path)
    assert (found.state, "Soon every command" in found.advice) == ("warning", True)
    generate_key(tmp_path / "people", "next", None, None)
    assert operators(tmp_path).state == "ok"


def test_revoking_the_last_operator_is_a_failure(tmp_path: Path) -> None:
    """A folder whose only key is revoked lets nobody change the product."""
    key = generate_key(tmp_path / "people", "anna", None, None)
    (tmp_path / "people" / "revoked.txt").write_text(key.key_id)
    assert operators(tmp_path).state == "fail"


@pytest.mark.parametrize("name", ["", "anna0.pub"])
def test_operators_keys_that_others_can_write_are_a_warning(tmp_path: Path, name: str) -> None:
    """Whoever can write the folder or a key in it could give himself the right."""
    operators(tmp_path, None)
    (tmp_path / "people" / name).chmod(0o777)
    found = operators(tmp_path)
    assert found.state == "warning"
    assert "decides who changes products: chmod go-w" in found.advice


def test_an_operator_who_could_sign_bundles_is_a_warning(tmp_path: Path) -> None:
    """The same key in both folders: whoever changes products could sign models."""
    check(tmp_path, None)
    operators(tmp_path, None)
    shared = (tmp_path / "keys" / "key0.pub").read_text()
    (tmp_path / "people" / "berta.pub").write_text(shared)
    found = operators(tmp_path)
    assert found.state == "warning"
    assert "The key berta signs bundles too" in found.advice
