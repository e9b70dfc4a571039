"""Which files belong to a backup: the configuration, what it names, and the agent's numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from edge_app.accounts.place import PEOPLE_FILE, people_folder
from edge_app.audit.schema import AUDIT_FILE, LIMITS_NAME
from edge_app.cameras.source_url import parse_source_url
from edge_app.config.load import load_config
from edge_app.config.model import AppConfig
from edge_app.errors import ConfigError
from edge_app.history.pseudonyms import KEY_FILE
from edge_app.history.schema import HISTORY_FILE

CONFIGURATION, ABSOLUTE, STORE, STATE = "configuration", "absolute", "store", "state"
PAGE = "page"
"""Where a file lies: below the configuration's folder, elsewhere, below [agent] store_dir, below
[device] state_dir, in the page's folder."""

SECRETS = ("password_file", "key_file", "token_file", "cert_file", "tls_key")
"""Ends of the keys of a configuration that name what only the service may read."""

PLACES = (CONFIGURATION, ABSOLUTE, STORE, STATE, PAGE)

HISTORY = "history"
PARTS = ("configuration", "keys", "numbers", "audit", "accounts", HISTORY)
"""What a file is. A release that does not know a part refuses the archive instead of leaving it
out."""

STATE_FILES = {AUDIT_FILE: "audit", LIMITS_NAME: "audit", KEY_FILE: "keys"}
"""The audit, the limits that follow from it, and the key of the reviewers' pseudonyms; each with
its part."""

MAX_KEYS = 1000
"""Files of one key folder."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file.

    Attributes:
        part: of PARTS.
        name: its place and its path there, e.g. "configuration/trusted_keys/line1.pub".
        source: where it lies on this device.
    """

    part: str
    name: str
    source: Path


def items_of(config_path: Path, with_history: bool = True) -> tuple[AppConfig, list[Item]]:
    """Return a device's configuration and the files of its backup, the configuration first and the
    history last.

    Raises:
        ConfigError: the configuration cannot be used, or the agent's state cannot be listed.
    """
    config = load_config(config_path)
    folder = config_path.absolute().parent
    items = [Item("configuration", f"{CONFIGURATION}/{config_path.name}", config_path.absolute())]
    for path, is_secret in _named_files(config):
        items.append(Item("keys" if is_secret else "configuration", _place(path, folder), path))
    for path in _listed(config.agent.store_dir / "state"):
        if path.suffix == ".json" and not path.name.startswith(
            ("intent-", "admitted.")
        ):  # of bundles that stay here
            items.append(Item("numbers", f"{STORE}/state/{path.name}", path))
    for name, part in STATE_FILES.items():
        if (path := config.device.state_dir / name).is_file():
            items.append(Item(part, f"{STATE}/{name}", path))
    people = people_folder(config.device.state_dir) / PEOPLE_FILE
    if people.is_file():
        items.append(Item("accounts", f"{PAGE}/{PEOPLE_FILE}", people))
    history = config.device.state_dir / HISTORY_FILE
    if with_history and history.is_file():
        items.append(Item(HISTORY, f"{STATE}/{HISTORY_FILE}", history))
    return config, list({item.name: item for item in items}.values())


def _listed(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted; nothing where there is none.

    Raises:
        ConfigError: this user may not list it: `Path.glob` would pass over it without a word.
    """
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be listed ({error.strerror}), so its serials and the commands it "
            "took would be missing from the backup. Run this as root, or as a user who may read it."
        ) from error


def _place(path: Path, folder: Path) -> str:
    try:
        return f"{CONFIGURATION}/{path.relative_to(folder).as_posix()}"
    except ValueError:
        return f"{ABSOLUTE}{path.as_posix()}"


def _named_files(config: AppConfig) -> Iterator[tuple[Path, bool]]:
    """Yield every file that a configuration names, and whether it is a key or a password."""
    for name, path in paths_in(config):
        if name.endswith("_keys_dir") and path.is_dir():
            yield from ((file, True) for file in _keys_in(path))
        elif path.is_file():
            yield path, name.endswith(SECRETS)
    for camera in config.cameras:
        features = (
            parse_source_url(camera.url).options.get("features") if _is_ours(camera.url) else ""
        )
        if features and Path(features).is_file():
            yield Path(features), False


def _is_ours(url: str) -> bool:
    return url.lower().startswith("basler:")


def _keys_in(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.is_file())
    if len(files) > MAX_KEYS:
        raise ConfigError(
            f"{folder} holds {len(files)} files, at most {MAX_KEYS} are expected of a key folder. "
            "Is it the right one?"
        )
    return files


def paths_in(table: BaseModel) -> Iterator[tuple[str, Path]]:
    """Yield the name and value of every path in a configuration's tables."""
    for name in type(table).model_fields:
        value = getattr(table, name)
        rows = value.values() if isinstance(value, dict) else value
        for entry in (
            rows if isinstance(rows, tuple | list) or isinstance(value, dict) else (value,)
        ):
            if isinstance(entry, BaseModel):
                yield from paths_in(entry)
            elif isinstance(entry, Path):
                yield name, entry.absolute()
