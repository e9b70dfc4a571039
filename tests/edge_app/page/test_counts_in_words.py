"""Sentences with a count read well for one, too."""

from __future__ import annotations

import json
import re

import pytest

from edge_app.device_words import HEADLINES
from edge_app.page.views import STATIC

OF_SEVERAL = {"cameras.good", "state.some", "health_headline.cameras_good", "line.gap",
              "part.position", "limit_nominal.exact", "limit_nominal.about"}  # fmt: skip
"""Said of two or more only, or of a share."""

SENTENCES = {
    **HEADLINES,
    **{
        key: text
        for file in STATIC.glob("words/*en.json")
        for key, text in json.loads(file.read_text(encoding="utf-8")).items()
    },
}


@pytest.mark.parametrize("key", sorted(SENTENCES.keys() - OF_SEVERAL))
def test_no_plural_follows_a_count(key: str) -> None:
    """Not "1 alerts wait" but "Alerts that wait: 1"."""
    assert not re.search(r"\{(count|waiting)\} (\w+ )?[a-z]+s\b", SENTENCES[key]), SENTENCES[key]
