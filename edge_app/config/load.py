"""From the TOML file to a checked `AppConfig`; every problem is reported at once."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edge_app.config.model import AppConfig
from edge_app.errors import ConfigError, nearest_of
from edge_app.host.small_file import read_small_text
from edge_app.secret_text import shown_address

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Location = Sequence[str | int]


def load_config(path: Path | str) -> AppConfig:
    """Return the checked configuration of a TOML file.

    Relative paths inside (files, `folder:` and `video:` cameras) are relative to the file's folder.

    Raises:
        ConfigError: the file is missing or not TOML, or entries are unknown, missing or wrong;
            the message lists all of them, an unknown key with the nearest known one.
    """
    path = Path(path)
    try:
        text = read_small_text(path)
    except OSError as error:
        raise ConfigError(f"Configuration {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"Configuration {path} is not valid TOML: byte {error.start} is no UTF-8 (expected "
            "that, got perhaps Latin-1 or UTF-16). Save the file as UTF-8."
        ) from error
    return config_of(parse_toml(text, str(path)), path.absolute().parent, str(path))


def parse_toml(text: str, origin: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ConfigError: it is none, or nested too deeply.
    """
    try:
        return cast("dict[str, Any]", tomllib.loads(text))
    except (ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"Configuration {origin} is not valid TOML: {error}.") from error


def config_of(
    document: dict[str, Any],
    folder: Path,
    origin: str,
    absent: Collection[Path] = (),
) -> AppConfig:
    """Return the checked configuration of a parsed document.

    Args:
        folder: base of relative paths.
        origin: names the document in messages.
        absent: files that will be there, and need not be there now.

    Raises:
        ConfigError: as `load_config`.
    """
    try:
        return AppConfig.model_validate(document, context={"folder": folder, "absent": absent})
    except ValidationError as error:
        problems = [_explain(detail) for detail in error.errors(include_url=False)]
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise ConfigError(f"Configuration {origin} has {count}:{lines}") from error


def example_config_text() -> str:
    """Return the shipped example: every key, commented, with its unit and default."""
    example = files("edge_app").joinpath("assets").joinpath("edge-app.example.toml")
    return example.read_text(encoding="utf-8")


def _explain(detail: ErrorDetails) -> str:
    """Return one problem as a sentence that starts with its place in the file."""
    location, kind = detail["loc"], detail["type"]
    if kind == "extra_forbidden":
        known = _known_keys(location[:-1])
        word = str(location[-1])
        what = "table" if len(location) == 1 and isinstance(detail["input"], dict) else "key"
        return (
            f"{_place(location[:-1])}unknown {what} {word!r}{nearest_of(word, known)}; "
            f"known: {', '.join(known)}"
        )
    if kind == "missing":
        last = location[-1]
        what = f"value no. {last + 1}" if isinstance(last, int) else last
        return f"{_place(location[:-1])}{what} is missing"
    if kind == "tuple_type" and location == ("camera",):
        return "[camera]: write [[camera]], with two brackets: there may be several"
    message = detail["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return f"{_place(location)}{message}"
    return f"{_place(location)}{message}, got {_shown(detail['input'])}"


def _shown(value: object) -> str:
    """Return a wrong value for people: no passwords, and nothing of what lies inside tables."""
    if isinstance(value, dict | list | tuple):
        return f"a {'table' if isinstance(value, dict) else 'list'} of {len(value)}"
    return repr(shown_address(value) if isinstance(value, str) else value)


def _place(location: Location) -> str:
    """Return e.g. `[mqtt] port: ` or `[[camera]] no. 2, url: `."""
    if not location:
        return ""
    table, rest = location[0], list(location[1:])
    if rest and isinstance(rest[0], int):
        number = int(rest.pop(0)) + 1
        head = f"[[{table}]] no. {number}"
    else:
        if table == "slot" and rest:
            table = f"slot.{rest.pop(0)}"
        head = f"[[{table}]]" if table == "camera" else f"[{table}]"
    keys = ".".join(str(key) for key in rest)
    return f"{head} {keys}: " if keys else f"{head} "


def _known_keys(location: Location) -> tuple[str, ...]:
    """Return the keys of the table at a location, as written in the file."""
    model: type[BaseModel] = AppConfig
    for step in location:
        if isinstance(step, int):
            continue
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        if step not in fields:
            continue  # a slot's own name
        annotation = fields[step].annotation  # one table, a tuple of tables or a dict of tables
        inner = [
            a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)
        ]
        model = cast("type[BaseModel]", next(iter(inner), annotation))
    return tuple(field.alias or name for name, field in model.model_fields.items())
