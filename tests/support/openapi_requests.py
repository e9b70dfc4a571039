"""Requests made from an OpenAPI document, by seed: valid ones, and ones with something odd."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 2**64, -(2**70), 1e308, 0.1, "", " ", "0", "-1", "1" * 400,
    "9" * 18, "NaN", "Infinity", "null", "\x00", "\n", "\u202e", "ü", "\U0001f600", "%00",
    "../../etc", "' OR 1=1 --", "<script>", "x" * 5000,
    "2026-11-30T06:00:00Z", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59+14:00", "1970-01-01", "2261-12-31", [], {}, [[]], {"a": {"b": []}},
    ["NG"] * 50,
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A request.

    Attributes:
        query: pairs, names may come twice.
        body: JSON text, or bytes that are none; None: no body.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: bytes | None
    is_valid: bool


class RequestMaker:
    """Makes requests.

    Args:
        document: OpenAPI 3.1.
        seed: the same one makes the same requests.
    """

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        self._schemas = document["components"]["schemas"]
        self._paths = document["paths"]
        self._random = random.Random(seed)

    def requests(self, count: int) -> Iterator[Made]:
        """Yield so many requests of every operation, the first of each valid."""
        for path, methods in self._paths.items():
            for method, operation in methods.items():
                for number in range(count):
                    yield self._make(path, method.upper(), operation, number == 0)

    def _make(self, path: str, method: str, operation: dict[str, Any], is_valid: bool) -> Made:
        query: list[tuple[str, str]] = []
        for parameter in operation["parameters"]:
            value = self._value(parameter["schema"], 0 if is_valid else 0.4)
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", quote(_text(value) or "x", safe=""))
            elif parameter["required"] or self._random.random() < 0.5:
                values = value if isinstance(value, list) else [value]
                query += [(parameter["name"], _text(one)) for one in values if one is not None]
        if not is_valid and self._random.random() < 0.2:
            query.append((self._random.choice(("limit", "cursor", "odd")), _text(self._odd())))
        body = self._body(operation, is_valid)
        return Made(method, path, tuple(query), body, is_valid)

    def _body(self, operation: dict[str, Any], is_valid: bool) -> bytes | None:
        if "requestBody" not in operation:
            return None
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        data = json.dumps(self._value(schema, 0 if is_valid else 0.3)).encode()
        if not is_valid and self._random.random() < 0.25:
            cut = self._random.randrange(len(data))
            broken = (data[:cut], data + b"\x00", b"\xff" + data, b"[" * 3000, b"")
            data = self._random.choice(broken)
        return data

    def _value(self, schema: dict[str, Any], oddness: float) -> Any:
        """Return a value of a schema, or with that probability something odd in its place."""
        if self._random.random() < oddness / 2:
            return self._odd()
        if "$ref" in schema:
            return self._value(self._schemas[schema["$ref"].rpartition("/")[2]], oddness)
        if "anyOf" in schema:
            return self._value(self._random.choice(schema["anyOf"]), oddness)
        if "enum" in schema or "const" in schema:
            return self._random.choice(schema.get("enum") or [schema["const"]])
        return self._of_type(schema, oddness)

    def _of_type(self, schema: dict[str, Any], oddness: float) -> Any:
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, oddness)
        if "prefixItems" in schema:
            return [self._value(part, oddness) for part in schema["prefixItems"]]
        if kind == "array":
            count = self._random.randint(0, 3)
            return [self._value(schema["items"], oddness) for _ in range(count)]
        if kind == "number" and "exclusiveMaximum" in schema:
            return round(self._random.uniform(0.001, schema["exclusiveMaximum"] - 0.001), 6)
        if kind in ("integer", "number"):
            low, high = int(schema.get("minimum", 0)), int(schema.get("maximum", 1000))
            return self._random.randint(max(low, -1000), min(high, 100_000))
        if kind == "null":
            return None
        return self._string(schema)

    def _object(self, schema: dict[str, Any], oddness: float) -> dict[str, Any]:
        wanted = set(schema.get("required", ()))
        found = {
            name: self._value(part, oddness)
            for name, part in schema.get("properties", {}).items()
            if (name in wanted and self._random.random() >= oddness / 3)
            or self._random.random() < 0.5
        }
        if self._random.random() < oddness / 3:
            found["odd"] = self._odd()
        return found

    def _string(self, schema: dict[str, Any]) -> str:
        pattern = schema.get("pattern", "")
        for example in ("1", "22", "ab" * 32, "2026-01-01/a.jpg"):
            if pattern and re.search(pattern, example):
                return example
        length = max(int(schema.get("minLength", 1)), 4)
        if length >= 10:
            return "2026-11-30T06:00:00Z"
        return "".join(self._random.choice("abcdefgh") for _ in range(length))

    def _odd(self) -> Any:
        return self._random.choice(ODD)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value)
