"""The last configuration that started, kept for the day on which the file cannot be read.

A slip in an edited file, a disk that lost it, zeros after a power cut: the line goes on as
it did, and says so.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_app.config.load import config_of, load_config, parse_toml
from edge_app.config.model import AgentConfig, AppConfig, DeviceConfig
from edge_app.errors import ConfigError
from edge_app.host.small_file import read_small, read_small_text
from edge_app.store.durable_write import perform, write_durably

NAME = "last-good-config.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Home:
    """Where a process keeps its copy: each in a folder of its own, that it alone writes to.

    Attributes:
        key: the folder's key in the configuration.
        default: what the folder is without it.
        of: returns what the folder is with a configuration.
    """

    key: str
    default: Path
    of: Callable[[AppConfig], Path]


INSPECTION = Home(
    "state_dir",
    DeviceConfig.model_fields["state_dir"].default,
    lambda config: config.device.state_dir,
)
AGENT = Home(
    "store_dir",
    AgentConfig.model_fields["store_dir"].default,
    lambda config: config.agent.store_dir,
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration to start with.

    Attributes:
        fault: what is wrong with the file, if the last good one stands in; else "".
    """

    config: AppConfig
    fault: str = ""


def load_or_last_good(
    path: Path, environment: Mapping[str, str] = os.environ, home: Home = INSPECTION
) -> Loaded:
    """Return the file's configuration, or the last one that started if it cannot be used.

    Raises:
        ConfigError: the file cannot be used, and no start with it is remembered.
    """
    try:
        return Loaded(load_config(path))
    except ConfigError as error:
        for folder in _folders(path, environment, home):
            config = _remembered(folder / NAME, path)
            if config is not None:
                return Loaded(config, str(error))
        raise


def remember(config: AppConfig, path: Path, home: Home = INSPECTION) -> None:
    """Keep the file with which this start succeeded; a disk that takes nothing is only logged."""
    try:
        text = read_small_text(path)
        entry = {"path": str(path.absolute()), "text": text, "sha256": _digest(path, text)}
        data = json.dumps(entry, ensure_ascii=False).encode()
        kept = home.of(config) / NAME
        if not _is_kept(kept, data):
            write_durably(perform, kept, data, is_private=True)  # cameras' passwords are in it
    except (OSError, UnicodeDecodeError) as error:
        _log.warning("the configuration cannot be kept for a start without it: %s", error)


def _is_kept(kept: Path, data: bytes) -> bool:
    """Return whether it is there as it should be."""
    is_private = kept.is_file() and kept.stat().st_mode & 0o077 == 0
    return is_private and kept.read_bytes() == data


def _remembered(kept: Path, path: Path) -> AppConfig | None:
    """Return what was kept for this file, None if there is none or it is damaged."""
    try:
        entry = json.loads(kept.read_bytes())
        text = entry["text"]
        if entry["sha256"] != _digest(path, text):
            return None
        return config_of(parse_toml(text, str(kept)), path.absolute().parent, str(kept))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, MemoryError, ConfigError):
        return None


def _digest(path: Path, text: str) -> str:
    return hashlib.sha256(f"{path.absolute()}\n{text}".encode()).hexdigest()


def _folders(path: Path, environment: Mapping[str, str], home: Home) -> list[Path]:
    """Return where the copy may be, as the broken file, systemd or the default says."""
    folders = []
    try:
        line = rf'^\s*{home.key}\s*=\s*"([^"\\]+)"'.encode()
        found = re.search(line, read_small(path), re.MULTILINE)
        if found is not None:
            folders.append(path.absolute().parent / found.group(1).decode())
    except (OSError, UnicodeDecodeError):
        pass
    named = environment.get("STATE_DIRECTORY", "")
    folders += [Path(name) for name in named.split(":") if name]
    return [*folders, home.default]
