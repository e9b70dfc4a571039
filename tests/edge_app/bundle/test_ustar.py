"""The bundle's tar is what tar and Python's tarfile read and write, and nothing more."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from edge_app.bundle.ustar import RECORD, UstarReader, end_bytes, entry_bytes, header
from edge_app.errors import BundleError

CONTENTS = {"a": b"", "golden/b.jpg": b"x" * 512, "c" * 100: b"y" * 513}


def written() -> bytes:
    body = b"".join(entry_bytes(name, data) for name, data in CONTENTS.items())
    return body + end_bytes(len(body))


@pytest.mark.parametrize("length", [0, 1, 512, 8**11 - 1])
def test_headers_are_those_of_tarfile(length: int) -> None:
    """A header equals, byte for byte, the one Python's tarfile makes of a fresh entry."""
    entry = tarfile.TarInfo("golden/0001.jpg")
    entry.size = length
    assert header("golden/0001.jpg", length) == entry.tobuf(tarfile.USTAR_FORMAT)


def test_tarfile_reads_what_is_written() -> None:
    """Python's tarfile finds the same files, and the length is a whole number of records."""
    with tarfile.open(fileobj=io.BytesIO(written())) as tar:
        found = {e.name: (tar.extractfile(e) or io.BytesIO()).read() for e in tar}
    assert found == CONTENTS
    assert len(written()) % RECORD == 0


def test_tar_unpacks_what_is_written(tmp_path: Path) -> None:
    """The tar command unpacks a bundle without a word."""
    (tmp_path / "a.tar").write_bytes(written())
    done = subprocess.run(
        ["tar", "-xvf", "a.tar"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == list(CONTENTS)
    assert done.stderr == ""
    assert (tmp_path / "golden" / "b.jpg").read_bytes() == CONTENTS["golden/b.jpg"]


def test_the_reader_returns_what_is_written() -> None:
    """Names, contents and the digest of the whole come back."""
    data = written()
    reader = UstarReader(io.BytesIO(data), len(data), "a.bundle")
    found = {}
    while (entry := reader.next_entry()) is not None:
        found[entry.name] = b"".join(reader.content(entry))
    assert found == CONTENTS
    assert reader.position == len(data)


@pytest.mark.parametrize(("name", "length"), [("n" * 101, 0), ("big", 8**11)])
def test_what_does_not_fit_is_refused(name: str, length: int) -> None:
    """A long name or 8 GiB is an error when it is written, not a dialect."""
    with pytest.raises(BundleError, match="does not fit"):
        header(name, length)
