"""Files that a person names and that are read whole: none of them is endless, and none blocks."""

from __future__ import annotations

import errno
import logging
import os
import select
import stat
from io import BytesIO, TextIOWrapper
from pathlib import Path

_log = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
"""A configuration, a key or a list that is larger is another file than the one that was meant."""
WAIT_S = 10.0
"""For what a pipe gives, such as a shell's <(...); one that nobody writes into is empty at once."""

_CHUNK = 64 << 10


def read_small(path: Path | str, most: int = MOST_BYTES) -> bytes:
    """Return a file's bytes; a pipe is read to its end.

    Args:
        most: the greatest length in bytes.

    Raises:
        OSError: it cannot be read, is longer (a device such as /dev/zero is endless), or is a pipe
            from which nothing comes for WAIT_S; `strerror` says it in words.
    """
    name = os.fspath(path)
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    found = bytearray()
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        while len(found) <= most:
            try:
                chunk = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                if waiting.poll(WAIT_S * 1000):
                    continue
                words = f"nothing came for {WAIT_S:.0f} s: is it a pipe that nobody writes into?"
                raise OSError(errno.ETIMEDOUT, words, name) from None
            if not chunk:
                return bytes(found)
            found += chunk
    finally:
        os.close(descriptor)
    words = f"more than {most:,} bytes: it is another file than the one that was meant"
    raise OSError(errno.EFBIG, words, name)


def read_state(path: Path, what: str, most: int = MOST_BYTES) -> bytes | None:
    """Return a state file's bytes; None where there is none, or, said in the log, it cannot be
    read.

    Args:
        what: of the sentence "the WHAT in PATH cannot be read".
    """
    try:
        return read_small(path, most)
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.error("the %s in %s cannot be read: %s", what, path, error)
        return None


def read_small_text(path: Path | str, most: int = MOST_BYTES, encoding: str = "utf-8-sig") -> str:
    r"""Return a file's text; each line ends in `\n`, whatever it ends in there.

    A byte order mark, with which some editors begin a file, is left out.

    Raises:
        OSError: as `read_small`.
        UnicodeDecodeError: it is no text of that encoding.
    """
    return TextIOWrapper(BytesIO(read_small(path, most)), encoding).read()


def plain_file(path: Path | str) -> str:
    """Return a file's name for a library that reads it itself, in which a pipe would block.

    Raises:
        OSError: it is not there, or no plain file.
    """
    name = os.fspath(path)
    if not stat.S_ISREG(Path(name).stat().st_mode):
        raise OSError(errno.EINVAL, "it is no plain file, but a folder, a pipe or a device", name)
    return name
