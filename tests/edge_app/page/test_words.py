"""The words of the pages: every key in every language, and none that nobody says."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from edge_app.page.views import STATIC

WORDS = STATIC / "words"
LANGUAGES = ("en", "ko")

IN_HTML = re.compile(r'data-w(?:-label|-title|-hint)?="([\w.]+)"')
IN_SCRIPT = re.compile(r'\bt\(\s*(?:[\w.!() ]+ \? )?"([\w.]+)"(?: : "([\w.]+)")?')
TEMPLATE = re.compile(r"\bt\(\s*`([\w.]+)\.\$\{")
CODES = re.compile(r'\b(?:oneOf|hasWords)\(\s*"([\w.]+)"')
INLINE = re.compile(r'data-w="([\w.]+)"[^>]*>([^<]+)<')
COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
VALUES = re.compile(r"\{(\w+)\}")


def words_of(tag: str) -> dict[str, str]:
    """Return the texts of a language, of all views; no key stands in two files."""
    found: dict[str, str] = {}
    for file in sorted([WORDS / f"{tag}.json", *WORDS.glob(f"*.{tag}.json")]):
        texts = json.loads(file.read_text(encoding="utf-8"))
        assert not found.keys() & texts.keys(), f"{file.name} says again what others say"
        found.update(texts)
    return found


def sources() -> list[Path]:
    found = [*STATIC.rglob("*.html"), *STATIC.rglob("*.js")]
    return [path for path in found if not path.name.startswith("setup")]


def used() -> tuple[set[str], set[str]]:
    """Return the keys that pages and scripts name, and the prefixes of those made from codes."""
    keys: set[str] = set()
    prefixes: set[str] = set()
    for path in sources():
        text = COMMENT.sub("", path.read_text(encoding="utf-8"))
        keys.update(IN_HTML.findall(text))
        keys.update(key for pair in IN_SCRIPT.findall(text) for key in pair if key)
        prefixes.update(TEMPLATE.findall(text), CODES.findall(text))
    return keys, prefixes


def test_the_languages_have_the_same_keys_and_fill_in_the_same() -> None:
    """Every key in every language, with the same {values}, and no text left empty in one only."""
    english = words_of("en")
    for tag in LANGUAGES[1:]:
        other = words_of(tag)
        assert other.keys() == english.keys(), tag
        for key, text in english.items():
            assert set(VALUES.findall(other[key])) == set(VALUES.findall(text)), f"{tag}: {key}"
            assert bool(other[key]) == bool(text), f"{tag}: {key}"


def test_every_key_that_is_used_has_its_words() -> None:
    """A text without words would be shown as its key."""
    keys, prefixes = used()
    assert len(keys) > 50, "the scripts are read"
    english = words_of("en")
    assert sorted(keys - english.keys()) == []
    assert [p for p in prefixes if not any(key.startswith(f"{p}.") for key in english)] == []


def test_no_key_is_unused() -> None:
    """What nobody says is taken out."""
    keys, prefixes = used()
    left = {key for key in words_of("en") if key.rpartition(".")[0] not in prefixes} - keys
    assert sorted(left) == []


def test_the_pages_carry_the_english_text() -> None:
    """What a browser shows before the words have come is what they say."""
    english = words_of("en")
    for path in STATIC.glob("*.html"):
        for key, text in INLINE.findall(path.read_text(encoding="utf-8")):
            assert unescape(text).strip() == english[key], f"{path.name}: {key}"


@pytest.mark.parametrize("tag", LANGUAGES[1:])
def test_another_language_is_no_copy(tag: str) -> None:
    """A text that was not translated stands out."""
    english, other = words_of("en"), words_of(tag)
    same = {key for key, text in english.items() if other[key] == text}
    worded = {key for key in same if VALUES.sub("", english[key]).strip(" ,.:·–%×m")}
    assert sorted(worded) == []
