"""Every error this product raises on purpose.

    EdgeError
    ├── ConfigError          the TOML is wrong; names the key
    ├── ShapeError           an array has the wrong shape or dtype
    ├── BundleError          a bundle is incomplete, altered or not acceptable
    ├── ModelError           a graph failed, or its outputs break the contract
    ├── CameraError
    │   ├── CameraUnavailable    cannot be opened (again)
    │   ├── FrameTimeout         no frame before the deadline; the camera may still be alive
    │   ├── FrameCorrupt         one frame could not be read; the next may be fine
    │   └── EndOfStream          a file source has ended
    ├── OutboxError          the alarm store cannot be read or written
    ├── HistoryError         the history of parts cannot be read
    ├── AuditError           the audit cannot be read or written
    ├── OrderError           an order to inspection is refused or was not answered
    ├── DownloadError        a bundle cannot be downloaded, permanently
    │   └── DownloadCancelled    another bundle was requested, or the agent stops
    ├── AccountError         an account, password, code or token is refused
    │   └── AccountsUnusable     the file of accounts cannot be read or written
    ├── CommandError         an operator's command over MQTT is refused
    ├── BrokerError          the MQTT broker refuses us
    ├── OutputError          what a command writes for a person has no place to go
    └── DataError            a workstation's pictures or labels are not usable

A message says what happened, what was expected, what was got and what to do.
"""

from __future__ import annotations

import difflib

from edge_app.secret_text import mask


class EdgeError(Exception):
    """Base of every deliberate error; `str(error)` is a message for people, without passwords."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(mask(arg) if isinstance(arg, str) else arg for arg in args))


class ConfigError(EdgeError):
    """The configuration file has an unknown, missing or invalid entry."""


class ShapeError(EdgeError):
    """An array's shape or dtype is not what its docstring states."""


class BundleError(EdgeError):
    """A model bundle is refused; nothing of it is in use."""


class ModelError(EdgeError):
    """A graph cannot be loaded, failed while running, or broke its contract."""


class CameraError(EdgeError):
    """Base of everything a frame source raises."""


class CameraUnavailable(CameraError):
    """The source cannot be opened, or has gone; reopening may help."""


class FrameTimeout(CameraError):
    """No frame arrived before the deadline."""


class FrameCorrupt(CameraError):
    """One frame could not be decoded. The source goes on.

    Attributes:
        source_number: the lost frame's number in its source, if that is known.
        source_name: its file name or trigger id, if it has one.
    """

    def __init__(
        self, message: str, source_number: int | None = None, source_name: str | None = None
    ) -> None:
        super().__init__(message)
        self.source_number = source_number
        self.source_name = source_name


class EndOfStream(CameraError):
    """A finite source has ended."""


class OutboxError(EdgeError):
    """The alarm store on disk cannot be opened, read or written."""


class HistoryError(EdgeError):
    """The history of parts cannot be opened or read."""


class AuditError(EdgeError):
    """The audit cannot be opened, read or written; what was to be recorded is not."""


class OrderError(EdgeError):
    """An order to inspection is refused, or got no answer."""


class AccountError(EdgeError):
    """An account, a password, a code or a token is refused, or cannot be kept."""


class AccountsUnusable(AccountError):
    """The file of accounts cannot be read or written: nobody can be known."""


class DownloadError(EdgeError):
    """A bundle is not downloaded: its address, its server or its bytes are not acceptable."""


class DownloadCancelled(DownloadError):
    """A download ended early on purpose; the partial file is kept for the next time."""


class CommandError(EdgeError):
    """A command on `cmd/{verb}` is refused; nothing has changed."""


class BrokerError(EdgeError):
    """The MQTT broker refuses the connection, the login or a publish."""


class DataError(EdgeError):
    """Training or evaluation pictures are missing, too few or inconsistent."""


class OutputError(EdgeError):
    """A folder or file that a command was told to write cannot be, or must not be, written."""


def nearest_of(word: str, known: tuple[str, ...]) -> str:
    """Return ` (did you mean 'x'?)` for the most similar known word, or an empty text."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
