"""The OpenAPI document, made from the same records as the routes: `make schemas` writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from edge_app.page.api.operation import BASE, Operation
from edge_app.page.problem import PROBLEM_TYPE
from edge_app.page.rights import CSRF_HEADER, Need
from edge_app.records import JsonObject

PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "a sentence for people"},
    },
}
ABOUT = (
    "What one device knows and lets be changed. Reading needs a token, a login, or nothing on "
    "loopback without a token; every change needs a person's login or a token of that scope. A "
    f"browser's script sends its login's `csrf` (GET /me) as {CSRF_HEADER} with every change. "
    "Names and meanings only gain; take no notice of what you do not know."
)
_PATH_PART = re.compile(r"\{(\w+)(?::(\w+))?\}")


def openapi(operations: Sequence[Operation]) -> JsonObject:
    """Return the OpenAPI 3.1 document of some operations."""
    references, components = _schemas(operations)
    paths: dict[str, Any] = {}
    for operation in operations:
        address = BASE + _PATH_PART.sub(r"{\1}", operation.path)
        paths.setdefault(address, {})[operation.method.lower()] = _described(operation, references)
    schemes = {
        "token": {"type": "http", "scheme": "bearer"},
        "login": {"type": "apiKey", "in": "cookie", "name": "cropliq_session"},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "CropLiq Edge", "version": "1", "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM, **components},
            "securitySchemes": schemes,
        },
    }


def _schemas(operations: Sequence[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    asked = [(model, "validation") for o in operations for model in (o.query, o.body) if model]
    answered = [(o.answer, "serialization") for o in operations if o.answer]
    wanted: Any = list(dict.fromkeys([*asked, *answered]))
    references, document = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    return references, document.get("$defs", {})


def _described(operation: Operation, references: dict[Any, Any]) -> JsonObject:
    found: JsonObject = {
        "summary": operation.about,
        "operationId": f"{operation.method.lower()}{_PATH_PART.sub('', operation.path)}".replace(
            "/", "_"
        ),
        "x-needs": operation.need.value,
        "security": [] if operation.need is Need.PUBLIC else [{"token": []}, {"login": []}],
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation.query)],
        "responses": _responses(operation, references),
    }
    if operation.body is not None:
        schema = references[operation.body, "validation"]
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return found


def _path_parameters(path: str) -> list[JsonObject]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 0} if kind == "int" else {"type": "string"},
        }
        for name, kind in _PATH_PART.findall(path)
    ]


def _query_parameters(model: type[BaseModel] | None) -> list[JsonObject]:
    if model is None:
        return []
    schema = model.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": part,
        }
        for name, part in schema["properties"].items()
    ]


def _responses(operation: Operation, references: dict[Any, Any]) -> JsonObject:
    done: JsonObject = {"description": "done"}
    if operation.answer is not None:
        schema = references[operation.answer, "serialization"]
        done["content"] = {operation.media_type: {"schema": schema}}
    elif operation.status != 204:
        done["content"] = {operation.media_type: {}}
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        str(operation.status): done,
        "default": {
            "description": "not done, and why",
            "content": {PROBLEM_TYPE: problem},
        },
    }
