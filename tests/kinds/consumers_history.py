"""Consumers of the history's rows: a flipped byte in one costs that row's detail only."""

from __future__ import annotations

import json
from pathlib import Path

from registry import Consumer

from edge_app.history.reader import list_of
from edge_app.history.rows import classes_of

DEFECTS = json.dumps([{"class": "scratch", "score": 3.5}, {"class": "dent", "score": 9.0}])


def _list(payload: bytes, _folder: Path) -> bool:
    return bool(list_of(payload.decode("utf-8", "replace")))


def _classes(payload: bytes, _folder: Path) -> bool:
    return bool(classes_of(payload.decode("utf-8", "replace")))


CONSUMERS = (
    Consumer("edge_app.history.reader:list_of", lambda: DEFECTS.encode(), _list),
    Consumer("edge_app.history.rows:classes_of", lambda: DEFECTS.encode(), _classes),
)
