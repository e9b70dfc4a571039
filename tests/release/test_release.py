"""`make release`: refused unless version, tag, changelog and commit agree."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("release", ROOT / "packaging" / "release.py")
assert _spec is not None
assert _spec.loader is not None
release = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(release)

GOOD = {
    "pyproject": '[project]\nname = "x"\nversion = "0.2.0"\n',
    "code": '__version__ = "0.2.0"\n',
    "changelog": "# Changelog\n\n## 0.2.0 (2026-12-01)\n\n- x\n\n## 0.1.0\n",
    "tag": "v0.2.0",
    "changed": "",
}
WRONG = {
    "a development version": ({"pyproject": 'version = "0.2.0.dev0"\n'}, "is none to release"),
    "two versions": ({"code": '__version__ = "0.1.0"\n'}, "says 0.1.0, pyproject.toml 0.2.0"),
    "no tag": ({"tag": ""}, "tag is missing, expected v0.2.0"),
    "another tag": ({"tag": "v0.3.0"}, "tag is v0.3.0"),
    "no section": ({"changelog": "## 0.1.0\n"}, "no section `## 0.2.0"),
    "no date": ({"changelog": "## 0.2.0\n"}, "no section `## 0.2.0"),
    "what is unreleased": ({"changelog": "## Unreleased\n\n## 0.2.0 (2026-12-01)\n"}, "still has"),
    "what is not committed": ({"changed": "a.py\nb.py"}, "not committed: a.py, b.py"),
}


def test_a_release_in_order_is_built() -> None:
    """One version everywhere, dated, tagged, committed; a candidate is one too."""
    assert release.problems(**GOOD) == []
    candidate = {key: text.replace("0.2.0", "0.2.0rc1") for key, text in GOOD.items()}
    assert release.problems(**candidate) == []


@pytest.mark.parametrize("fault", WRONG)
def test_each_disagreement_is_named(fault: str) -> None:
    """A sentence that says what was found."""
    change, said = WRONG[fault]
    assert any(said in problem for problem in release.problems(**{**GOOD, **change}))


def test_the_projects_own_files_are_understood() -> None:
    """The version of this commit is found in both places, and they agree."""
    texts = [
        (ROOT / f).read_text(encoding="utf-8") for f in ("pyproject.toml", "edge_app/__init__.py")
    ]
    (version,), (in_code,) = release.STATIC.findall(texts[0]), release.CODE.findall(texts[1])
    assert version == in_code
    done = subprocess.run(
        [sys.executable, str(ROOT / "packaging" / "release.py"), "check"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert (done.returncode == 2) == ("make release: " in done.stderr)


def test_every_file_of_a_release_has_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `sha256sum --check` reads them; a list of components stands beside each wheel."""
    (tmp_path / "a-1.0-py3-none-any.whl").write_bytes(b"wheel")
    (tmp_path / "a-1.0.tar.gz").write_bytes(b"sources")
    made: list[Path] = []

    def write(wheel: Path, out: Path) -> None:
        made.append(wheel)
        out.write_text(json.dumps({"components": []}))

    monkeypatch.setattr(release, "_write_components", write)
    release.describe(tmp_path)
    assert [wheel.name for wheel in made] == ["a-1.0-py3-none-any.whl"]
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.count(": OK") == 3
    release.describe(tmp_path)
    assert "SHA256SUMS" not in (tmp_path / "SHA256SUMS").read_text()
