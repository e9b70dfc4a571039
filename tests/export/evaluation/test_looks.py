"""The log of looks: written in a checkout for public sets or when asked, nowhere else."""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
from pathlib import Path

import grimp
import pytest
from support.small_bundles import grey_picture, write_bright_bundle

import export
from edge_app.errors import DataError
from export.cli.main import main
from export.evaluation.looks import (
    JUDGING_CODE,
    LOG,
    NOT_JUDGING,
    append_look,
    checkout_root,
    code_digest,
    files_digest,
    log_look,
    set_name,
)

JUDGING = [
    "calibration/thresholds/b.py", "edge_app/model/a.py", "export/data/c.py", "export/pose/d.py"
]  # fmt: skip


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one tracked file of each judging folder, and code that runs from it."""
    root = tmp_path / "checkout"
    for name in (*JUDGING, "edge_app/mqtt/e.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    (root / "benchmarks").mkdir()
    (root / "benchmarks" / "__init__.py").write_text("")
    git(root.parent, "init", "-q", "checkout")
    git(root, "add", ".")
    monkeypatch.setattr(export, "__file__", str(root / "export" / "__init__.py"))
    return root


def rows_of(root: Path) -> list[dict[str, str]]:
    with (root / LOG).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_this_repository_is_a_checkout_and_an_installation_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package has no benchmarks and no history beside it."""
    monkeypatch.setattr(export, "__file__", str(tmp_path / "site-packages/export/__init__.py"))
    assert checkout_root() is None
    (tmp_path / "site-packages" / "benchmarks").mkdir(parents=True)  # another package's
    assert checkout_root() is None


def test_a_public_set_is_logged_and_another_is_not(checkout: Path, tmp_path: Path) -> None:
    """By the folder's name, also where its test folder was given."""
    assert log_look(tmp_path / "mvtec_screw", "evaluate") == checkout / LOG
    assert log_look(tmp_path / "mvtec_screw" / "test", "compare") == checkout / LOG
    assert log_look(tmp_path / "our_part", "evaluate") is None
    found = rows_of(checkout)
    assert [(r["set"], r["command"]) for r in found] == [
        ("mvtec_screw", "evaluate"),
        ("mvtec_screw", "compare"),
    ]
    assert {r["code_digest"] for r in found} == {code_digest(checkout)}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\dZ", r["date"]) for r in found)


def test_any_set_is_logged_when_asked(checkout: Path, tmp_path: Path) -> None:
    """A comma in a name does not break the table."""
    log_look(tmp_path / "our, part", "evaluate", asked=True)
    assert [r["set"] for r in rows_of(checkout)] == ["our, part"]


def test_an_installation_writes_nothing_and_refuses_to_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing lands in the package; --log-look there is an error with what to do."""
    package = tmp_path / "site-packages" / "export"
    package.mkdir(parents=True)
    monkeypatch.setattr(export, "__file__", str(package / "__init__.py"))
    assert log_look(tmp_path / "mvtec_screw", "evaluate") is None
    with pytest.raises(DataError, match="installed package"):
        log_look(tmp_path / "mvtec_screw", "evaluate", asked=True)
    assert [p.name for p in tmp_path.rglob("*")] == ["site-packages", "export"]


def test_the_digest_is_of_tracked_python_files_as_they_are(checkout: Path) -> None:
    """An edit counts before its commit; untracked files, texts, what does not judge do not."""
    names = JUDGING
    by_hand = hashlib.sha256(
        b"".join(n.encode() + b"\0" + f"# {n}\n".encode() + b"\0" for n in names)
    ).hexdigest()
    assert code_digest(checkout) == by_hand
    (checkout / "export" / "pose" / "new.py").write_text("x = 1\n")
    (checkout / "edge_app" / "notes.txt").write_text("x\n")
    (checkout / "benchmarks" / "__init__.py").write_text("x = 1\n")
    (checkout / "edge_app" / "mqtt" / "e.py").write_text("x = 1\n")
    git(checkout, "add", "edge_app/notes.txt", "benchmarks")
    assert code_digest(checkout) == by_hand
    (checkout / "export" / "pose" / "d.py").write_text("x = 2\n")
    changed = code_digest(checkout)
    assert changed != by_hand
    (checkout / "export" / "pose" / "d.py").unlink()
    assert code_digest(checkout) == files_digest(checkout, names[:3])
    assert code_digest(checkout) not in (changed, by_hand)


def test_what_a_build_imports_is_in_the_digest_or_named_as_not_judging() -> None:
    """A new folder must be put on one side."""
    graph = grimp.build_graph("edge_app", "calibration", "export")
    roots = ("export.bundle_build.pipeline", "export.evaluation.run")
    imported = set(roots).union(*(graph.find_upstream_modules(root) for root in roots))
    unnamed = {
        name
        for name in imported - set(NOT_JUDGING)
        if not name.replace(".", "/").startswith(JUDGING_CODE)
        and name.rpartition(".")[0] not in NOT_JUDGING
        and "." in name
    }
    assert unnamed == set()
    root = Path(export.__file__).parent.parent
    listed = {start: list(root.glob(f"{start}*")) for start in JUDGING_CODE}
    assert all(listed.values()), listed


def test_without_history_there_is_no_digest(tmp_path: Path) -> None:
    """The message says what is missing."""
    with pytest.raises(DataError, match="git's list of files"):
        code_digest(tmp_path)


def test_the_head_is_written_once(tmp_path: Path) -> None:
    """Appending twice gives two rows below one head."""
    for number in range(2):
        append_look(tmp_path, "a", f"digest{number}", "evaluate")
    assert (tmp_path / LOG).read_text().count("code_digest") == 1
    assert [r["code_digest"] for r in rows_of(tmp_path)] == ["digest0", "digest1"]


@pytest.mark.parametrize(("name", "looks"), [("aws_cookies", 1), ("our_part", 0)])
def test_the_command_logs_its_look(
    checkout: Path, tmp_path: Path, name: str, looks: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """`evaluate` on a public set leaves one line; on a user's own none, unless asked by name."""
    import cv2

    data = tmp_path / name
    for kind, spot in (("good", False), ("spot", True)):
        (data / "test" / kind).mkdir(parents=True)
        cv2.imwrite(str(data / "test" / kind / "0.png"), grey_picture(spot=spot))
    bundle = write_bright_bundle(tmp_path / "bright.bundle")
    arguments = ["evaluate", "--bundle", str(bundle), "--data", str(data)]
    assert main(arguments) == 0
    assert len(rows_of(checkout) if (checkout / LOG).exists() else []) == looks
    assert main([*arguments, "--log-look", "release check"]) == 0
    assert rows_of(checkout)[-1]["command"] == "release check"
    assert len(rows_of(checkout)) == looks + 1
    assert "Catches 1 of 1 defects" in capsys.readouterr().out


def test_no_look_without_pictures(checkout: Path, tmp_path: Path) -> None:
    """A run that ends before the first test picture is judged has looked at nothing."""
    bundle = write_bright_bundle(tmp_path / "bright.bundle")
    (tmp_path / "mvtec_screw").mkdir()
    command = ["evaluate", "--bundle", str(bundle), "--data", str(tmp_path / "mvtec_screw")]
    assert main(command) == 2
    assert not (checkout / LOG).exists()


def test_a_sets_name_is_its_folders() -> None:
    """Relative, with a trailing slash, or its test folder."""
    assert [set_name(Path(p)) for p in ("x/mvtec_screw/", "/d/mvtec_screw/test")] == [
        "mvtec_screw",
        "mvtec_screw",
    ]
