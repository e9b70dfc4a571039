"""What contributors meet outside the code: workflows, hooks, forms name what the project has."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"

TARGET = re.compile(r"^([a-z][\w-]*):", re.MULTILINE)
MADE = re.compile(r"\bmake ((?:[a-z][\w-]*\s?)+)")
PYTHON = re.compile(r"Programming Language :: Python :: (3\.\d+)")
FORM_PARTS = {"checkboxes", "dropdown", "input", "markdown", "textarea"}


def _targets() -> set[str]:
    return set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))


def _read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _commands(workflow: Path) -> list[str]:
    steps = [step for job in _read(workflow)["jobs"].values() for step in job["steps"]]
    return [step["run"] for step in steps if "run" in step]


def _made(text: str) -> set[str]:
    return {word for found in MADE.findall(text) for word in found.split()}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda f: f.name)
def test_every_target_that_a_workflow_makes_is_in_the_makefile(workflow: Path) -> None:
    """Whatever a step runs is an installation of system packages, or targets that exist."""
    for command in _commands(workflow):
        if command.startswith("make "):
            assert _made(command), command
            assert _made(command) <= _targets(), command
        else:
            assert command.startswith("sudo apt-get "), command


def test_the_workflows_make_what_the_gate_makes() -> None:
    """`make lint` and `make test` of .ci/run are there, and documents and wheels besides."""
    ours = {word for w in WORKFLOWS for command in _commands(w) for word in _made(command)}
    assert {"lint", "test", "docs", "wheels", "test-slow", "test-device"} <= ours
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert {"lint", "test", "test-slow", "test-systemd"} <= _made(gate)


def test_the_tests_run_on_every_python_that_is_promised() -> None:
    """The matrix, the classifiers and `requires-python` name the same versions."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    promised = PYTHON.findall(project)
    matrix = _read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert promised == matrix["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert f'requires-python = ">={promised[0]}"' in project


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda f: f.name)
def test_a_workflow_may_read_and_ends_by_itself(workflow: Path) -> None:
    """No more rights than reading the contents; each job has its time."""
    content = _read(workflow)
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert job["timeout-minutes"] <= 120, name


@pytest.mark.parametrize("form", [f for f in FORMS if f.stem != "config"], ids=lambda f: f.name)
def test_a_form_has_what_a_form_needs(form: Path) -> None:
    """A name, a sentence, and parts of known kinds, each with its own id and label."""
    content = _read(form)
    assert content["name"]
    assert content["description"].endswith(".")
    parts = [part for part in content["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in content["body"]} <= FORM_PARTS
    ids = [part["id"] for part in parts]
    assert len(set(ids)) == len(ids) >= 3
    assert all(part["attributes"]["label"] for part in parts)


def test_files_that_the_forms_name_are_there() -> None:
    """Documents in forms and in the pull request's template exist."""
    texts = [f.read_text(encoding="utf-8") for f in (ROOT / ".github").rglob("*") if f.is_file()]
    named = {n for text in texts for n in re.findall(r"\b(?:docs/)?\w+\.md\b", text)}
    assert {"SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= named
    assert [n for n in named if not (ROOT / n).is_file()] == []


def test_the_hooks_are_the_versions_that_are_tested() -> None:
    """ruff is pinned as in constraints.txt; ruff and mypy that run here are those versions."""
    pinned = dict(
        line.split(" ;")[0].strip().split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if re.match(r"(ruff|mypy)==", line)
    )
    assert set(pinned) == {"ruff", "mypy"}
    hooks = {hook["id"]: hook for repo in _read(HOOKS)["repos"] for hook in repo["hooks"]}
    for name in ("ruff-check", "ruff-format"):
        assert hooks[name]["additional_dependencies"] == [f"ruff=={pinned['ruff']}"]
    for name, version in pinned.items():
        assert importlib.metadata.version(name) == version, f"make lint installs {version}"


def test_the_hooks_check_what_make_lint_checks() -> None:
    """Each command of `make lint` has its hook, and each hook its command."""
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = make[make.index("\nlint:") :].split("\n\n")[0]
    commands = {line.split("$(BIN)/")[1].split()[0] for line in recipe.splitlines()[2:]}
    hooks = [hook for repo in _read(HOOKS)["repos"] for hook in repo["hooks"]]
    assert commands == {Path(hook["entry"].split()[0]).name for hook in hooks}


def test_the_table_of_what_runs_has_the_gates_figures_and_real_targets() -> None:
    """Each step of .ci/run is in CONTRIBUTING.md with its minutes; what it names can be made."""
    document = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = document.split("## What runs where, and how long")[1].split("\n\n")[1]
    rows = [[cell.strip() for cell in r.strip("|").split(" | ")] for r in table.splitlines()[2:]]
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    steps = re.findall(
        r"^# \| (?P<step>[^|]+?) +\| (?P<minutes>\d+ to \d+) +\|$", gate, re.MULTILINE
    )
    assert len(steps) >= 6
    ours = sorted(minutes for _, where, minutes in rows if ".ci/run" in where)
    assert ours == sorted(minutes for _, minutes in steps)
    named = {word for what, *_ in rows for code in re.findall(r"`([^`]+)`", what)
             for word in _made(code)}  # fmt: skip
    assert {"lint", "test", "test-slow", "test-systemd", "coverage"} <= named <= _targets()


def test_dependabot_reads_both_kinds_of_versions() -> None:
    """Python packages and actions, monthly."""
    updates = _read(ROOT / ".github" / "dependabot.yml")["updates"]
    assert {u["package-ecosystem"] for u in updates} == {"pip", "github-actions"}
    assert {u["schedule"]["interval"] for u in updates} == {"monthly"}


def test_nobody_is_invented() -> None:
    """No e-mail address stands in what we tell of ourselves."""
    done = subprocess.run(
        ["git", "grep", "-lE", r"[a-z0-9._-]+@[a-z0-9-]+\.(com|org|net|io)\b", "--",
         "*.md", "*.toml", ".github", ":!docs"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == ""
