"""A file takes the place that a person named, unless a pipe, device or folder is there."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.signed_bundles import NO_TERMS, Signer
from support.small_bundles import write_bright_bundle

from deploy.bundles.sign import sign_bundle
from edge_app.errors import OutputError
from edge_app.store.output_file import check_replaceable, put_in_place
from export.build_many.outcome import Built, recorded


def _sign(out: Path) -> None:
    bundle = out.with_name("unsigned.bundle")
    write_bright_bundle(bundle)
    sign_bundle(bundle, Signer("a").key, out, NO_TERMS)


def _never() -> Built:
    pytest.fail("the build must not start")


WRITERS: dict[str, Callable[[Path], object]] = {
    "a bundle": write_bright_bundle,
    "a signed bundle": _sign,
    "the outcome of a build": lambda out: recorded(out, _never),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    "kind",
    [
        "pipe",
        "socket",
        "folder",
        "link to a pipe",
        pytest.param("device", marks=pytest.mark.needs("root")),
    ],
)
def test_what_is_no_file_stays(tmp_path: Path, writer: str, kind: str) -> None:
    """As root, a rename onto /dev/full would replace the device for the whole machine."""
    out = tmp_path / "out"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        if kind == "pipe":
            os.mkfifo(out)
        elif kind == "socket":
            listener.bind(str(out))
        elif kind == "folder":
            out.mkdir()
        elif kind == "link to a pipe":
            os.mkfifo(tmp_path / "pipe")
            out.symlink_to("pipe")
        else:
            os.mknod(out, 0o600 | stat.S_IFCHR, os.makedev(1, 7))
        before = out.lstat()
        with pytest.raises(OutputError, match="it is not replaced"):
            WRITERS[writer](out)
        after = out.lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    """The finished one has the name; a name that is free needs nothing."""
    partial, out = tmp_path / "partial", tmp_path / "out"
    check_replaceable(out)
    for text in ("first", "second"):
        partial.write_text(text)
        put_in_place(partial, out)
        assert out.read_text() == text
    assert not partial.exists()
