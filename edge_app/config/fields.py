"""What the configuration's tables are made of: the base table, names and paths."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

TOPIC_LEVEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Names become levels of an MQTT topic and parts of file names: no slash, wildcard or space."""

CREDENTIALS = Path("credentials")
"""Only root can read this folder beside the TOML. systemd passes copies to the service
(LoadCredential) in $CREDENTIALS_DIRECTORY; in a shell root reads the folder itself."""


def _topic_level(name: str) -> str:
    if not TOPIC_LEVEL.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a level of a topic; expected 1 to 64 letters, digits, "
            '"_", ".", "-", beginning with a letter or digit'
        )
    return name


def _anchored(path: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and path.parent == CREDENTIALS:
        return Path(credentials) / path.name
    return (folder / path).absolute()


def _existing_file(path: Path, info: ValidationInfo) -> Path:
    anchored = _anchored(path, info)
    if not anchored.is_file() and not is_to_come(anchored, info):
        kind = "is a folder" if anchored.is_dir() else "does not exist"
        raise ValueError(f"the file {anchored} {kind}; expected an existing file")
    return anchored


def is_to_come(path: Path, info: ValidationInfo) -> bool:
    """Tell whether a file will be there although it is not there now: in a restore."""
    return path in (info.context or {}).get("absent", ())


AnchoredPath = Annotated[Path, Field(strict=False), AfterValidator(_anchored)]
ExistingFile = Annotated[Path, Field(strict=False), AfterValidator(_existing_file)]
TopicLevel = Annotated[str, AfterValidator(_topic_level)]


class Table(BaseModel):
    """Base: unknown keys are errors, "8883" is not a number, values never change after loading."""

    model_config = ConfigDict(
        defer_build=True, extra="forbid", frozen=True, strict=True, populate_by_name=True
    )
