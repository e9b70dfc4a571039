"""What arrives on an alert's topic: an alert of the device that the topic names, or refused."""

from __future__ import annotations

import json

from pydantic import ValidationError

from edge_app.errors import DataError
from edge_app.mqtt.messages import Alert
from edge_app.mqtt.topics import ROOT
from edge_app.records import JsonObject


def read_alert(topic: str, payload: bytes) -> Alert:
    """Return the alert that a message is.

    Raises:
        DataError: it is none, or speaks for another device than its topic; why is one short text
            that does not quote the message.
    """
    try:
        alert = Alert.model_validate_json(payload)
        json.loads(payload, parse_constant=_refuse_constant)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{place or 'it'}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"it is no JSON: {type(error).__name__}") from error
    wanted = f"{ROOT}/{alert.site}/{alert.line}/{alert.device}/cam/{alert.camera}/alert"
    if topic != wanted:
        raise DataError(
            f"it says that it is from {alert.site}/{alert.line}/{alert.device}, camera "
            f"{alert.camera}, which its topic does not: not believed"
        )
    return alert


def json_line(payload: bytes) -> str:
    """Return an alert's JSON as it was published, but as one line that a terminal can show.

    Line breaks and tabs can only stand between JSON's tokens; all other characters that are not
    printable only in its texts, where an escape means the same.
    """
    text = payload.decode("utf-8")
    if text.isprintable():
        return text
    return "".join(_printable(c) for c in text)


def _printable(char: str) -> str:
    if char in "\n\r\t":
        return " "
    return char if char.isprintable() else json.dumps(char)[1:-1]


def _refuse_constant(name: str) -> JsonObject:
    raise ValueError(f"{name} is no JSON")
