"""`edge-app users` and `tokens` from root's console: codes, roles, and no trust in the folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.child_processes import SCRIPT_ENVIRONMENT

from edge_app.accounts.directory import Directory
from edge_app.accounts.people_file import PeopleFile

STRANGER = 54_321
"""An account that this machine does not have."""

CODE = re.compile(r": ([A-Z2-9]{4}(?:-[A-Z2-9]{4}){3})$", re.MULTILINE)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Return a folder that every account may pass; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="cropliq-users-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def edge_app(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_app.cli.main", *args, "--state", str(folder)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**SCRIPT_ENVIRONMENT, "SUDO_USER": "boss"},
    )  # fmt: skip


def code_in(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    found = CODE.search(done.stdout)
    assert found is not None, done.stdout
    return found[1]


def test_the_first_engineer_and_everybody_after(tmp_path: Path) -> None:
    """The code works; with an engineer there is no second one; people and tokens are listed,
    changed and removed; who is behind sudo is noted for the audit."""
    code = code_in(edge_app(tmp_path, "users", "first-engineer", "--if-none"))
    directory = Directory.of(PeopleFile(tmp_path))
    directory.redeem(code, "eva", "four unlikely words here", "local")
    again = edge_app(tmp_path, "users", "first-engineer", "--if-none")
    assert (again.returncode, again.stdout, again.stderr) == (1, "", "")
    refused = edge_app(tmp_path, "users", "first-engineer")
    assert refused.returncode == 2
    assert "edge-app users reset NAME" in refused.stderr
    code_in(edge_app(tmp_path, "users", "add", "anna", "--role", "viewer"))
    assert edge_app(tmp_path, "users", "role", "anna", "operator").returncode == 0
    code_in(edge_app(tmp_path, "users", "reset", "ANNA"))
    listed = edge_app(tmp_path, "users", "list").stdout
    assert re.search(r"eva +engineer\nanna +operator  no password", listed)
    made = edge_app(tmp_path, "tokens", "add", "mes", "--scope", "viewer", "--days", "3")
    assert directory.program(made.stdout.strip()) is not None
    assert "mes" in edge_app(tmp_path, "tokens", "list").stdout
    assert edge_app(tmp_path, "tokens", "remove", "mes").returncode == 0
    assert directory.program(made.stdout.strip()) is None
    assert edge_app(tmp_path, "users", "remove", "anna").returncode == 0
    assert edge_app(tmp_path, "users", "remove", "eva").returncode == 2
    assert {note.name for note in directory.notes() if note.kind == "root"} == {"boss"}


@pytest.mark.parametrize(
    "args",
    [
        ("users", "reset", "nobody"), ("users", "remove", "nobody"), ("tokens", "remove", "nobody"),
        ("users", "role", "nobody", "viewer"), ("users", "add", "-x", "--role", "viewer"),
        ("users", "add", "a b", "--role", "viewer"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_name_that_is_unknown_or_unfit_is_told(tmp_path: Path, args: tuple[str, ...]) -> None:
    """One sentence, exit code 2, nothing written but the lock."""
    done = edge_app(tmp_path, *args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "people.json").exists()


@pytest.mark.needs("root")
def test_root_gives_its_rights_up_before_it_touches_the_pages_folder(open_path: Path) -> None:
    """What is written belongs to the page's account; a link that the page has laid leads root to
    no file of others."""
    folder = open_path / "state"
    folder.mkdir(mode=0o700)
    os.chown(folder, STRANGER, STRANGER)
    code_in(edge_app(folder, "users", "first-engineer"))
    for name in ("people.json", "people.lock"):
        status = (folder / name).stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (
            STRANGER, STRANGER, 0o600,
        )  # fmt: skip
    target = open_path / "shadow"
    target.write_text("root's own")
    target.chmod(0o644)
    (folder / ".people.json.new").symlink_to(target)
    done = edge_app(folder, "users", "first-engineer")
    assert done.returncode == 2
    assert target.read_text() == "root's own"
