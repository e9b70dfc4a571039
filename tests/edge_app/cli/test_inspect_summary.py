"""What a person reads after `edge-app inspect`, and of a file that is no bundle."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.small_bundles import write_bright_bundle, write_pictures

import edge_app
from edge_app.cli.main import main

SHIPPED = Path(edge_app.__file__).parent / "assets" / "demo-tapered.bundle"


def test_verdicts_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, so that stdout keeps a line a picture; the limit stands beside each score."""
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    folder = write_pictures(tmp_path / "in", 3, {2})
    assert main(["inspect", str(folder), "--bundle", str(bundle)]) == 0
    told = capsys.readouterr()
    assert told.err == "3 pictures: 2 OK, 1 NG, 0 not inspected, by the bundle for bright\n"
    assert all(" of 150.000 " in line for line in told.out.splitlines())


def test_a_pictures_name_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal escapes and line breaks in it are shown, not obeyed."""
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    folder = write_pictures(tmp_path / "in", 1, set())
    (picture,) = folder.iterdir()
    picture.rename(folder / "a\x1b[2J\nOK  9.9.png")
    (folder / "b\x1b[31m.webm").write_bytes(b"x")
    assert main(["inspect", str(folder), "--bundle", str(bundle)]) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 1
    assert "\\x1b[2J\\nOK  9.9.png" in told.out
    assert "\x1b" not in told.out + told.err


def test_nothing_inspected_names_the_product_and_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures without the bundle's product."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 40, (480, 640, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), noise)
    assert main(["inspect", str(tmp_path / "in"), "--bundle", str(SHIPPED), "--json"]) == 1
    told = capsys.readouterr()
    assert "3 not inspected. Nothing could be inspected: the bundle is for demo-tapered" in told.err
    assert len(told.out.splitlines()) == 3


@pytest.mark.parametrize("content", [b"# Readme\n", b"# Readme\n" * 500, bytes(range(256)) * 9])
def test_a_file_that_is_no_bundle_is_said_to_be_none(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words, without the file's bytes."""
    (tmp_path / "README.md").write_bytes(content)
    folder = write_pictures(tmp_path / "in", 1, set())
    assert main(["inspect", str(folder), "--bundle", str(tmp_path / "README.md")]) == 2
    told = capsys.readouterr().err
    assert "README.md is not a bundle. Expected a file that edge-export has built" in told
    assert told.isprintable() or told.rstrip("\n").isprintable()


def test_log_lines_in_the_foreground_have_a_time() -> None:
    program = (
        "import logging\nfrom edge_app.host.logging_setup import start_logging\n"
        "start_logging('INFO')\nlogging.getLogger('a.b').info('hello')\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO a\.b: hello\n"
    assert re.fullmatch(line, done.stderr)
