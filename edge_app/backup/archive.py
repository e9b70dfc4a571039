"""The archive of a backup: one tar with its list first, and every digest checked.

backup.json                  what the archive is, and each file's part, digest, length and mode
configuration/edge-app.toml  …
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from edge_app.backup.contents import PARTS, PLACES, Item
from edge_app.backup.history import HistoryMark
from edge_app.errors import ConfigError, OutputError
from edge_app.host.small_file import plain_file

FORMAT = "cropliq-backup/1"
LIST = "backup.json"
MAX_LIST_BYTES = 4 << 20
MAX_FILES = 5000
CHUNK_BYTES = 1 << 20
PRIVATE = 0o600

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Entry(BaseModel):
    """One file of an archive.

    Attributes:
        name: place and path, see `contents.Item`.
        mode: its permissions, 0 to 0o777.
    """

    model_config = ConfigDict(defer_build=True, frozen=True)

    name: str = Field(min_length=3, max_length=4096)
    part: str
    sha256: Sha256
    length: int = Field(ge=0)
    mode: int = Field(ge=0, le=0o777)


class Listing(BaseModel):
    """An archive's list. Later releases may add keys; what they mean is not needed to restore.

    Attributes:
        device: site/line/device.
        config_name: the configuration's file name.
        made_at: by the device's clock then, RFC 3339.
        release: of the software that made it.
        store_id, highest_seq: the numbering of alerts then: a restore begins another one.
        audit_head: HASH:COUNT of the audit then; "" where there was none.
        history: where the history of parts ends; None where it is not in the archive.
    """

    model_config = ConfigDict(defer_build=True, frozen=True)

    format: str
    device: str
    config_name: str = Field(min_length=1, max_length=255, pattern=r"^[^/]+$")
    made_at: str
    release: str
    history: HistoryMark | None = None
    store_id: str = ""
    highest_seq: int = 0
    audit_head: str = Field("", max_length=100)
    files: tuple[Entry, ...] = Field(max_length=MAX_FILES)


class ChangedMeanwhile(OutputError):
    """A file was written while it was backed up: another attempt may do."""


def entry_of(item: Item) -> Entry:
    """Return a file's line in the list.

    Raises:
        OSError: it cannot be read.
    """
    with item.source.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        digest, length = _digest_of(file)
    return Entry(name=item.name, part=item.part, sha256=digest, length=length, mode=mode)


def write_archive(out: Path, listing: Listing, items: list[Item]) -> None:
    """Write an archive that only this user may read; it is there whole and checked, or not at all.

    Raises:
        OutputError: there is such a file already.
        ChangedMeanwhile: a file changed while it was read.
        OSError: it cannot be written.
    """
    if out.exists():
        raise OutputError(f"{out} is there already. Name a new file: no backup is overwritten.")
    part = out.with_name(f".{out.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, PRIVATE), "w+b") as file:
            os.fchmod(file.fileno(), PRIVATE)
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                _add(tar, LIST, PRIVATE, listing.model_dump_json(indent=1).encode())
                for item, entry in zip(items, listing.files, strict=True):
                    _add_file(tar, item, entry)
            file.flush()
            os.fsync(file.fileno())
        try:
            with opened(part):
                pass
        except ConfigError as error:
            raise ChangedMeanwhile(
                f"A file changed while it was read; run it again. ({error})"
            ) from error
        part.replace(out)
    finally:
        with suppress(OSError):
            part.unlink()


class Archive:
    """An archive whose every digest has been checked."""

    def __init__(self, tar: tarfile.TarFile, listing: Listing) -> None:
        self._tar = tar
        self.listing = listing

    def read(self, entry: Entry) -> bytes:
        """Return a file's bytes, checked once more: the archive may have changed since.

        Raises:
            ConfigError: they are others now.
        """
        stream = self._tar.extractfile(entry.name)
        data = stream.read() if stream is not None else b""
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise _changed(entry)
        return data

    def copy_to(self, entry: Entry, path: Path) -> None:
        """Write a file's bytes to a path, for nobody else to read, however many they are.

        Raises:
            ConfigError: the archive has changed.
            OSError: the disk takes nothing.
        """
        stream = self._tar.extractfile(entry.name)
        digest = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(path, flags, PRIVATE), "wb") as file:
            while stream is not None and (chunk := stream.read(CHUNK_BYTES)):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != entry.sha256:
            raise _changed(entry)


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open an archive and check all of it before anything is used.

    Raises:
        ConfigError: it is none, is of a release that this one does not know, or is damaged.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ConfigError(f"{path} is no file. Expected one that `edge-app backup` wrote.")
    try:
        with tarfile.open(plain_file(path), "r:") as tar:
            listing = _listing_of(tar, path)
            _check(tar, listing, path)
            yield Archive(tar, listing)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (tarfile.TarError, EOFError, UnicodeError, OverflowError) as error:
        raise _no_backup(path, str(error)) from error


def _listing_of(tar: tarfile.TarFile, path: Path) -> Listing:
    first = tar.next()
    if first is None or first.name != LIST or not first.isreg() or first.size > MAX_LIST_BYTES:
        raise _no_backup(path, f"it does not begin with {LIST}")
    stream = tar.extractfile(first)
    data = stream.read() if stream is not None else b""
    try:
        listing = Listing.model_validate_json(data)
    except (ValidationError, RecursionError, MemoryError) as error:
        raise _no_backup(path, f"its {LIST} cannot be read") from error
    if listing.format != FORMAT:
        raise ConfigError(
            f"{path} has the format {listing.format[:40]!r}, made by release "
            f"{listing.release[:40]!r}; this release reads {FORMAT!r}. Install that release or a "
            "later one, then restore."
        )
    unknown = sorted({entry.part for entry in listing.files} - set(PARTS))
    if unknown:
        raise ConfigError(
            f"{path} was made by release {listing.release[:40]!r} and holds {', '.join(unknown)}, "
            "which this release does not know and would lose. Install that release or a later "
            "one, then restore."
        )
    return listing


def _check(tar: tarfile.TarFile, listing: Listing, path: Path) -> None:
    expected = {entry.name: entry for entry in listing.files}
    if len(expected) != len(listing.files):
        raise _damaged(path, "its list names a file twice")
    for entry in listing.files:
        place, _, rest = entry.name.partition("/")
        steps = rest.split("/")
        if place not in PLACES or "\0" in rest or any(step in ("", ".", "..") for step in steps):
            raise _damaged(path, f"{entry.name[:80]!r} is no name of a backup's file")
    if f"configuration/{listing.config_name}" not in expected:
        raise _damaged(path, "the configuration is missing")
    seen: set[str] = set()
    while (member := tar.next()) is not None:
        listed = expected.get(member.name)
        if listed is None or member.name in seen or not member.isreg():
            raise _damaged(path, f"{member.name[:80]!r} is not in its list")
        seen.add(member.name)
        stream = tar.extractfile(member)
        digest, length = _digest_of(stream) if stream is not None else ("", 0)
        if (digest, length) != (listed.sha256, listed.length):
            raise _damaged(path, f"{member.name[:80]!r} has other bytes than its list says")
    if missing := sorted(set(expected) - seen):
        raise _damaged(path, f"{missing[0][:80]!r} is missing")


def _changed(entry: Entry) -> ConfigError:
    return ConfigError(f"The archive changed while {entry.name} was read. Copy it and retry.")


def _no_backup(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} is no backup of this product: {why}. Expected a file that `edge-app backup` wrote."
    )


def _damaged(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path} is damaged: {why}. Nothing was changed; use another copy of it.")


def _digest_of(stream: IO[bytes]) -> tuple[str, int]:
    digest, length = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
        length += len(chunk)
    return digest.hexdigest(), length


def _add(tar: tarfile.TarFile, name: str, mode: int, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def _add_file(tar: tarfile.TarFile, item: Item, entry: Entry) -> None:
    info = tarfile.TarInfo(item.name)
    info.size, info.mode = entry.length, entry.mode
    with item.source.open("rb") as file:
        if os.fstat(file.fileno()).st_size != entry.length:
            raise ChangedMeanwhile(
                f"{item.source} changed while it was read; run the backup again."
            )
        tar.addfile(info, file)
