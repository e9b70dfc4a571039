"""A file of tests leaves the environment as it found it: what it sets, others would start with.

Two files set PYTHONPATH for a process that they start and left it there; a test in another folder
then failed, in those runs in which one worker happened to run both.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import cv2  # noqa: F401  # when first imported it sets LD_LIBRARY_PATH, which is no test's doing
import pytest

SHARED = (
    "CROPLIQ_", "CUDA_", "EDGE_", "HOME", "HTTP", "LANG", "LC_", "LD_", "MALLOC_", "NOTIFY_SOCKET",
    "PATH", "PYTHON", "STATE_DIRECTORY", "TMPDIR", "TZ", "XDG_",
)  # fmt: skip
"""Beginnings of names that decide what a process does. Libraries set others when imported."""

_file: Path | None = None
_found: dict[str, str] = {}


def shared_environment() -> dict[str, str]:
    """Return the variables that matter to other tests."""
    return {name: value for name, value in os.environ.items() if name.startswith(SHARED)}


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the names whose values differ, sorted."""
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note the environment in which a file begins, before it is changed or the test is skipped."""
    global _file, _found
    if item.path != _file:
        _file, _found = item.path, shared_environment()
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Fail a file's last test where the environment is another now."""
    if nextitem is not None and nextitem.path == item.path:
        return
    left = differences(_found, shared_environment())
    for name in left:  # those behind it shall not suffer
        os.environ.pop(name, None)
        if name in _found:
            os.environ[name] = _found[name]
    assert not left, f"{item.path.name} leaves {', '.join(left)} changed. Use monkeypatch."
