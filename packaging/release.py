"""What `make release` checks before it builds, and what it adds to the wheels afterwards.

    release.py check          version, tag and changelog agree; nothing is uncommitted
    release.py describe DIST  a list of what each wheel installs (CycloneDX), and SHA256SUMS

The standard library and uv: what a release is made with is not part of the product.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+((a|b|rc)[0-9]+)?")
STATIC = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
CODE = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
SECTION = re.compile(
    r"^## (?P<version>\S+)(?: [-–(] ?(?P<date>\d{4}-\d{2}-\d{2})\)?)?$", re.MULTILINE
)


def problems(pyproject: str, code: str, changelog: str, tag: str, changed: str) -> list[str]:
    """Return what speaks against a release, a sentence each; none: it may be built.

    Args:
        pyproject: text of pyproject.toml.
        code: text of edge_app/__init__.py.
        changelog: text of CHANGELOG.md.
        tag: the commit's tag, "" if it has none.
        changed: what git has to say of uncommitted files, "" if there are none.
    """
    (version,) = STATIC.findall(pyproject)
    (in_code,) = CODE.findall(code)
    found = []
    if not VERSION.fullmatch(version):
        found.append(f"pyproject.toml: version {version} is none to release, expected e.g. 0.2.0")
    if in_code != version:
        found.append(f"edge_app/__init__.py says {in_code}, pyproject.toml {version}")
    if tag != f"v{version}":
        found.append(f"this commit's tag is {tag or 'missing'}, expected v{version}: git tag -s")
    dates = {m["version"]: m["date"] for m in SECTION.finditer(changelog)}
    if dates.get(version) is None:
        found.append(f"CHANGELOG.md has no section `## {version} (YYYY-MM-DD)`")
    if "Unreleased" in dates:
        found.append("CHANGELOG.md still has a section `## Unreleased`")
    if changed:
        found.append(f"not committed: {', '.join(changed.split())}")
    return found


def remarks(pyproject: str) -> list[str]:
    """Return what a release lacks and can do without."""
    if re.search(r"^\[project\.urls\]$", pyproject, re.MULTILINE):
        return []
    return ["pyproject.toml has no [project.urls]: readers of the package will not find its source"]


def check() -> int:
    """Print what speaks against a release of this commit; 0 if nothing does."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = problems(
        pyproject,
        (ROOT / "edge_app" / "__init__.py").read_text(encoding="utf-8"),
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        _git("tag", "--points-at", "HEAD"),
        _git("diff", "--name-only", "HEAD"),
    )
    for sentence in remarks(pyproject):
        print(f"remark: {sentence}", file=sys.stderr)
    for sentence in found:
        print(f"make release: {sentence}", file=sys.stderr)
    return 2 if found else 0


def describe(dist: Path) -> None:
    """Write a component list for each wheel, and SHA256SUMS over everything in the folder."""
    for wheel in sorted(dist.glob("*.whl")):
        _write_components(wheel, dist / f"{wheel.stem}.cdx.json")
    sums = dist / "SHA256SUMS"
    files = sorted(f for f in dist.iterdir() if f.is_file() and f != sums and f.name[0] != ".")
    lines = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files]
    sums.write_text("".join(lines))
    print(sums.read_text(), end="")


def _write_components(wheel: Path, out: Path) -> None:
    """List what is installed with a wheel in the tested versions, by installing it."""
    with tempfile.TemporaryDirectory() as folder:
        python = f"{folder}/bin/python"
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, folder)
        tested = ["--constraint", str(ROOT / "constraints.txt")]
        _uv("pip", "install", "--quiet", "--python", python, *tested, str(wheel))
        _uv(
            "tool", "run", "--quiet", *tested, "--from", "cyclonedx-bom", "cyclonedx-py",
            "environment", "--output-reproducible", "--output-format", "JSON",
            "--output-file", str(out), python,
        )  # fmt: skip


def _uv(*arguments: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([str(uv), *arguments], check=True, env={**os.environ, "NO_COLOR": "1"})


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    if sys.argv[1] == "check":
        sys.exit(check())
    describe(Path(sys.argv[2]))
