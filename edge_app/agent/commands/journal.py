"""Which commands were carried out, kept on disk: each is taken once.

They are kept beyond their expiry, the newest of them: a clock that is set back makes an expired
command valid once more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from edge_app.agent.commands.rules import MAX_LIFE
from edge_app.errors import CommandError
from edge_app.store.durable_write import perform, write_durably

MAX_REMEMBERED = 1000
"""Within ten minutes; more are not typed by a person but sent by a faulty program."""

_log = logging.getLogger(__name__)


class _Taken(BaseModel):
    """Command id → when it expires."""

    model_config = ConfigDict(defer_build=True)

    commands: dict[str, AwareDatetime] = {}


class CommandJournal:
    """Remembers commands. Not thread-safe.

    Args:
        folder: the store's `state` folder; the agent alone writes there.
        name: of the file there.
        now: wall clock, with a time zone.
    """

    def __init__(
        self, folder: Path, now: Callable[[], datetime], name: str = "commands.json"
    ) -> None:
        self._file = folder / name
        self._now = now
        self._taken = self._read()

    def check(self, command_id: str) -> None:
        """Look whether a command was carried out.

        Raises:
            CommandError: it was.
        """
        if command_id in self._taken:
            raise CommandError(
                "Command refused: the device took it before; it was sent twice, or replayed."
            )

    def take(self, command_id: str, expires_at: datetime) -> None:
        """Remember a command before it is carried out.

        Raises:
            CommandError: it was taken before, or cannot be remembered.
        """
        now = self._now()
        self.check(command_id)
        if sum(now < end <= now + MAX_LIFE for end in self._taken.values()) >= MAX_REMEMBERED:
            raise CommandError(
                f"Command refused: {MAX_REMEMBERED} commands came within ten minutes. Stop what "
                "sends them."
            )
        newest = sorted(self._taken.items(), key=lambda item: item[1])[1 - MAX_REMEMBERED :]
        taken = dict(newest) | {command_id: expires_at.astimezone(timezone.utc)}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            text = _Taken(commands=taken).model_dump_json()
            write_durably(perform, self._file, text.encode())
        except OSError as error:
            raise CommandError(
                f"Command refused: {self._file} cannot be written ({error.strerror}), so it could "
                "be replayed. Free some space; on the device `edge-app slots select` still works."
            ) from error
        self._taken = taken

    def _read(self) -> dict[str, datetime]:
        try:
            return _Taken.model_validate_json(self._file.read_bytes()).commands
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            _log.warning("%s cannot be read and starts empty: %s", self._file, error)
            return {}
