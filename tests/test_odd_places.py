"""Every command under a strict umask, another locale, without rights, in a folder that is gone.

It works, or says in one sentence what is wrong; nothing ends in a traceback.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.app_config import write_config
from support.child_processes import SCRIPT_ENVIRONMENT

PROCESS = Path(__file__).parent / "support" / "odd_place.py"
GREY = cv2.imencode(".png", np.full((48, 64, 3), 100, np.uint8))[1].tobytes()
LATIN_1 = b"Gr\xfcn.png"
"""A file name as a machine with an 8 bit code page writes it."""
WORKS = r""


@dataclass
class Place:
    """A device's folder with names beyond ASCII, and what is done there."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    umask: str = "022"
    rights: str = "all"

    def __post_init__(self) -> None:
        self.home = self.folder / "Gerät ½ →"
        self.outside = self.folder / "outside"
        self.pictures = self.home / "Prüf"
        self.pictures.mkdir(parents=True)
        self.outside.mkdir()
        (self.pictures / "größe → 1.png").write_bytes(GREY)
        (Path(os.fsdecode(os.fsencode(self.pictures) + b"/" + LATIN_1))).write_bytes(GREY)
        self.config = write_config(
            self.home, f"folder:{self.pictures}", 1, more='[agent]\nstore_dir = "store"\n'
        )

    def run(self, *commands: list[str], cwd: Path | None = None) -> list[tuple[int, str, str]]:
        """Return the exit code, output and errors of each."""
        words = [sys.executable, str(PROCESS), str(self.outside), self.umask, self.rights]
        done = subprocess.run(
            words, input=json.dumps(commands).encode(), cwd=cwd or self.home, check=True,
            env=SCRIPT_ENVIRONMENT | self.environment, stdout=subprocess.PIPE, timeout=300,
        )  # fmt: skip
        return [(code, out, err) for code, out, err in json.loads(done.stdout)]

    def commands(self) -> dict[str, list[str]]:
        """Return what people do on a device and at a workstation, by name."""
        config, bundle, here = str(self.config), str(self.home / "a.bundle"), self.home
        return {
            "version": ["edge-app", "--version"],
            "help": ["edge-app", "inspect", "--help"],
            "example": ["edge-app", "example-config"],
            "check": ["edge-app", "check-config", config],
            "run": ["edge-app", "run", "--config", config],
            "doctor": ["edge-app", "doctor", "--config", config],
            "list": ["edge-app", "history", "list", "--config", config],
            "account": ["edge-app", "history", "check", "--config", config],
            "csv": ["edge-app", "history", "export", "--config", config, "--csv", f"{here}/ö.csv"],
            "jsonl": ["edge-app", "history", "export", "--config", config, "--jsonl", "-"],
            "inspect": ["edge-app", "inspect", str(self.pictures), "--bundle", bundle],
            "views": ["edge-app", "inspect", str(self.pictures), "--bundle", bundle,
                      "--out", f"{here}/an→sicht"],
            "backup": ["edge-app", "backup", "--config", config, "--out", f"{here}/ö.backup"],
            "engines": ["edge-app", "engine", "list", "--config", config],
            "record": ["edge-app", "camera", "record", "sim:round?parts=2", "--count", "1",
                       "--out", f"{here}/auf½"],
            "slots": ["edge-app", "slots", "--config", config],
            "keygen": ["edge-deploy", "keygen", "--out", f"{here}/schlüssel", "--name", "anna"],
            "sign": ["edge-deploy", "sign", bundle, "--key", f"{here}/schlüssel/anna.key",
                     "--out", f"{here}/ö.bundle"],
            "verify": ["edge-deploy", "verify", f"{here}/ö.bundle", "--keys", f"{here}/schlüssel"],
            "limits": ["edge-calibrate", "thresholds", bundle, "--from", f"folder:{self.pictures}",
                       "--dry-run"],
        }  # fmt: skip


NOT_HERE = {
    "slots": (2, r"The agent does not answer"),
    "doctor": (1, r"broker"),
    "limits": (2, r"good parts"),
}
"""What does not work anywhere without an agent, a broker and fifty parts."""


def assert_said(name: str, ended: tuple[int, str, str], expected: tuple[int, str]) -> None:
    code, out, err = ended
    assert "Traceback" not in out + err, (name, err)
    assert code == expected[0], (name, code, out, err)
    assert re.search(expected[1], " ".join((out + err).split())), (name, out, err)
    assert code == 0 or len(err.splitlines()) <= 2 or name in ("doctor", "run"), (name, err)


PLACES = {
    "umask 077, another zone and language": (
        {"TZ": "Asia/Kolkata", "LANG": "tr_TR.ISO-8859-9"}, "077",
    ),
    "Latin-1 terminal": ({"PYTHONIOENCODING": "latin-1"}, "022"),
    "ASCII terminal": ({"PYTHONIOENCODING": "ascii:strict"}, "022"),
    "C locale, and nothing helps": (
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "022",
    ),
    "C locale, no home, no temporary folder": (
        {"LC_ALL": "C", "HOME": "/nonexistent", "TMPDIR": "/nonexistent",
         "XDG_CACHE_HOME": "/dev/null"}, "022",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_every_command_works_there(place: str, tmp_path: Path) -> None:
    """In any locale, for a name of any letters, with any umask: the same as anywhere."""
    environment, umask = PLACES[place]
    here = Place(tmp_path, environment, umask)
    commands = here.commands()
    if place == "C locale, and nothing helps":  # such a Python cannot name the folder at all
        ended = here.run(commands["version"], commands["check"], cwd=tmp_path)
        assert [code for code, _, _ in ended] in ([0, 0], [0, 2])
        assert not any("Traceback" in out + err for _, out, err in ended)
        return
    for name, end in zip(commands, here.run(*commands.values()), strict=True):
        assert_said(name, end, NOT_HERE.get(name, (0, WORKS)))
    for secret in ("schlüssel/anna.key", "ö.backup"):
        assert stat.S_IMODE((here.home / secret).stat().st_mode) & 0o077 == 0


READ_ONLY = {
    "run": (0, r"cannot be written"),  # it judges on, and says what it cannot keep
    "doctor": (1, r"not writable|cannot be"),
    "csv": (2, r"Permission denied"),
    "views": (2, r"cannot be written: Permission denied"),
    "backup": (2, r"Permission denied"),
    "record": (2, r"cannot be made: Permission denied"),
    "keygen": (2, r"No key written .*Permission denied"),
    "sign": (2, r"cannot be read"),
    "verify": (2, r"cannot be read"),
    "limits": (2, r"Nothing can be written"),
}
"""What writes beside the configuration; everything else works."""


@pytest.mark.slow
def test_read_only_folders_are_said(tmp_path: Path) -> None:
    """Reading goes on; what has to write names the folder, and leaves nothing behind."""
    here = Place(tmp_path)
    commands = here.commands()
    here.run(commands["run"])  # there is something to read
    here.rights = "none"
    folders = [p for p in (here.home, *here.home.rglob("*")) if p.is_dir()]
    before = sorted(map(str, here.home.rglob("*")))
    for folder in folders:
        folder.chmod(0o500)
    try:
        ended = here.run(*commands.values())
    finally:
        for folder in folders:
            folder.chmod(0o700)
    for name, end in zip(commands, ended, strict=True):
        assert_said(name, end, (NOT_HERE | READ_ONLY).get(name, (0, WORKS)))
    assert sorted(map(str, here.home.rglob("*"))) == before


UNREADABLE = {
    "edge-app.toml": ("check", "run", "doctor", "list", "backup", "engines", "slots"),
    "a.bundle": ("run", "inspect", "views", "sign", "limits"),
    "state": ("run", "list", "account", "csv", "jsonl"),
    "store/state": ("backup",),
    "Prüf": ("inspect", "views"),
}
"""What this user may not read -> who has to say so."""


@pytest.mark.slow
@pytest.mark.parametrize("what", UNREADABLE)
def test_what_may_not_be_read_is_said(what: str, tmp_path: Path) -> None:
    """One sentence with the file's name; nothing is taken for absent, or left out of a backup."""
    here = Place(tmp_path)
    commands = here.commands()
    here.run(commands["run"], commands["keygen"])
    (here.home / "store" / "state").mkdir(parents=True, exist_ok=True)
    (here.home / "store" / "state" / "high_water.json").write_text("{}")
    here.rights = "none"
    named = here.home / what
    mode = stat.S_IMODE(named.stat().st_mode)
    named.chmod(0)
    names = UNREADABLE[what]
    try:
        ended = here.run(*(commands[name] for name in names))
    finally:
        named.chmod(mode)
    for name, end in zip(names, ended, strict=True):
        assert_said(name, end, (2, r"Permission denied"))


@pytest.mark.slow
def test_a_folder_that_is_gone_is_no_place_to_write(tmp_path: Path) -> None:
    """Whoever stands in a folder that was deleted gets a sentence, or works elsewhere."""
    here = Place(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    script = tmp_path / "go.sh"
    script.write_text('cd "$1" && rmdir "$1" && shift && exec "$@"\n')
    commands = [
        ["edge-app", "--version"],
        ["edge-app", "check-config", "edge-app.toml"],
        ["edge-app", "check-config", str(here.config)],
        ["edge-app", "inspect", str(here.pictures), "--bundle", str(here.home / "a.bundle")],
        ["edge-app", "backup", "--config", str(here.config), "--out", "x.backup"],
        ["edge-deploy", "keygen", "--out", "keys", "--name", "anna"],
        ["edge-app", "camera", "record", "sim:round", "--count", "1", "--out", "rec"],
    ]
    words = ["sh", str(script), str(gone), sys.executable, str(PROCESS), str(here.outside), "022",
             "all"]  # fmt: skip
    done = subprocess.run(
        words, input=json.dumps(commands).encode(), stdout=subprocess.PIPE, check=True,
        env=SCRIPT_ENVIRONMENT, timeout=300,
    )  # fmt: skip
    ended = json.loads(done.stdout)
    assert [code for code, _, _ in ended] == [0, 2, 0, 0, 2, 2, 2]
    assert not any("Traceback" in out + err for _, out, err in ended), ended
