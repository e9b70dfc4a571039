"""Whatever is named in the place of a file: its bytes, or one OSError in words, soon."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from edge_app.host import small_file
from edge_app.host.small_file import plain_file, read_small, read_small_text


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "a"
    for length in (0, 1, 100, 1 << 20):
        file.write_bytes(b"x" * length)
        assert read_small(file) == b"x" * length
    file.write_bytes("ü\r\n".encode())
    assert read_small_text(file) == "ü\n"


def test_what_is_too_long_or_endless_is_refused(tmp_path: Path) -> None:
    """After as many bytes as are allowed, not after the memory."""
    (tmp_path / "a").write_bytes(b"x" * 11)
    for path in (tmp_path / "a", Path("/dev/zero")):
        with pytest.raises(OSError, match="more than 10 bytes"):
            read_small(path, 10)


def test_a_pipe_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell's <(...) gives it; without a writer it is empty, with a silent one it is said."""
    monkeypatch.setattr(small_file, "WAIT_S", 0.2)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert read_small(pipe) == b""

    def write() -> None:
        with pipe.open("wb") as file:
            file.write(b"half ")
            file.flush()
            file.write(b"and half")

    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that the writer can begin
    writer = threading.Thread(target=write)
    writer.start()
    writer.join()
    assert read_small(pipe) == b"half and half"
    silent = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="nothing came"):
        read_small(pipe)
    os.close(silent)
    os.close(reading)


@pytest.mark.parametrize("name", ["", "gone"])
def test_what_is_no_file_is_the_systems_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match="directory"):
        read_small(tmp_path / name)


def test_a_library_gets_plain_files_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    assert plain_file(tmp_path / "file") == str(tmp_path / "file")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="no plain file"):
            plain_file(path)
