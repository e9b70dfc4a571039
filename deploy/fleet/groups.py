"""The devices of a push: named one by one, or a group from a TOML on the workstation.

[groups]
pilot = ["graz/line-2/press-3"]
presses = ["graz/line-2/press-3", "graz/line-2/press-4", "graz/line-3/press-1"]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_app.errors import ConfigError
from edge_app.host.small_file import read_small_text
from edge_app.mqtt.topics import DeviceName

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class _GroupsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    groups: dict[str, tuple[str, ...]]


def load_group(path: Path, name: str) -> tuple[DeviceName, ...]:
    """Return a group's devices in the order of the file, each once.

    Raises:
        ConfigError: the file cannot be read, has no such group, or the group is empty or has an
            invalid name.
    """
    try:
        document = tomllib.loads(read_small_text(path))
        groups = _GroupsFile.model_validate(document).groups
    except OSError as error:
        raise ConfigError(f"Groups {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"Groups {path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"Groups {path} is wrong at {place}: {first['msg']}. Expected a table [groups] with "
            'lines NAME = ["SITE/LINE/DEVICE", ...].'
        ) from error
    if name not in groups:
        raise ConfigError(f"Groups {path} has no group {name!r}, only {', '.join(groups)}.")
    return parse_devices(groups[name], f"group {name!r} in {path}")


def parse_devices(names: Sequence[str], origin: str) -> tuple[DeviceName, ...]:
    """Return the devices that texts SITE/LINE/DEVICE name, each once.

    Raises:
        ConfigError: there is none, or a text is not a device's name.
    """
    if not names:
        raise ConfigError(f"{origin} is empty; expected at least one SITE/LINE/DEVICE.")
    return tuple(DeviceName.parse(name) for name in dict.fromkeys(names))
