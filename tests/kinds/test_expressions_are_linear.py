"""No text from outside makes a regular expression work for seconds: time grows with its length."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import deploy
import edge_app
from edge_app.secret_text import mask, shown_address

CHARS = 100_000
MOST_S = 2.5
"""CPU. What grows with the square takes 6 to 60 s for so many, what grows with the length 0.2."""

PIECES = (
    "x", "X", "0", " ", "\n", "-", "_", ".", ":", "/", "\\", "@", "=", "&", "%", '"', "'", "[", "(",
    "a=", "a@", "://", "a://", "a: ", "x ", "\\x", "password=", "password ", "Basic ", "a-b.", "1,",
    "ä", "{}", "!", "#", "?", "<", "\x1b[",
)  # fmt: skip


WAYS = r"\.(search|match|fullmatch|sub|finditer|findall|split)\b"


def patterns() -> Iterator[tuple[str, Callable[[str], object]]]:
    """Find every pattern that stands at the top of a module of the device or its workstation, as
    it is used there."""
    for package in (edge_app, deploy):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith("__main__"):
                continue
            try:
                module = importlib.import_module(found.name)
            except ImportError:  # a camera's library that is not here
                continue
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern) and has_repeats(value.pattern):
                    source = inspect.getsource(module)
                    for way in sorted(set(re.findall(rf"\b{name}{WAYS}", source))):
                        yield f"{found.name}:{name}.{way}", used(value, way)


def has_repeats(pattern: str | bytes) -> bool:
    """Tell whether a pattern can go on and on; without, each place of a text takes it so long."""
    return isinstance(pattern, str) and bool(set("*+{") & set(re.sub(r"\\.", "", pattern)))


def used(pattern: re.Pattern[str], way: str) -> Callable[[str], object]:
    if way == "sub":
        return partial(pattern.sub, "")
    if way == "finditer":
        return lambda text: list(pattern.finditer(text))
    function: Callable[[str], object] = getattr(pattern, way)
    return function


PATTERNS = dict(patterns())


def long_texts() -> Iterator[str]:
    for piece in PIECES:
        text = piece * (CHARS // len(piece))
        yield text
        yield f"a://{text}\x00"
        yield f"{text}\x00"


def cpu_s(work: Callable[[str], object], text: str) -> float:
    began = time.thread_time()
    work(text)
    return time.thread_time() - began


@pytest.mark.parametrize("name", PATTERNS)
def test_an_expression_takes_no_longer_than_its_text(name: str) -> None:
    for text in long_texts():
        assert cpu_s(PATTERNS[name], text) < MOST_S, repr(text[:40])


@pytest.mark.parametrize("shows", [mask, shown_address], ids=lambda f: f.__name__)
def test_what_hides_secrets_takes_no_longer_than_its_text(shows: Callable[[str], str]) -> None:
    """Errors, log lines and messages hold what others sent, and each passes through it."""
    for text in long_texts():
        assert cpu_s(shows, text) < MOST_S, repr(text[:40])
