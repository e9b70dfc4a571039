"""What editors and other locales make of a configuration and its secrets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.app_config import EDGE_APP, write_config

from edge_app.config.load import load_config
from edge_app.errors import ConfigError
from edge_app.store.secret_file import read_secret

BOM = b"\xef\xbb\xbf"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    """As Windows' editor writes it, with its line ends: configuration, password, token."""
    config = write_config(tmp_path, "folder:in", 1883)
    text = config.read_bytes()
    config.write_bytes(BOM + text.replace(b"\n", b"\r\n"))
    assert load_config(config).device.site == "graz"
    (tmp_path / "secret").write_bytes(BOM + "pässwort\r\n".encode())
    assert read_secret(tmp_path / "secret", "x") == "pässwort"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "cp850"])
def test_another_encoding_is_named_with_its_place(tmp_path: Path, encoding: str) -> None:
    """One sentence that says what to do; never half a password."""
    config = write_config(tmp_path, "folder:in", 1883)
    config.write_bytes(f"# Prüfplatz\n{config.read_text()}".encode(encoding))
    with pytest.raises(ConfigError, match=r"byte \d+ is no UTF-8.*Save the file as UTF-8"):
        load_config(config)
    (tmp_path / "secret").write_bytes("pässwörter".encode(encoding))
    if encoding != "utf-16-le":  # whose bytes are UTF-8 too, with zeros
        with pytest.raises(ConfigError, match="is no UTF-8"):
            read_secret(tmp_path / "secret", "x")


@pytest.mark.parametrize("content", [b"", b"\n\n", BOM, b"  \n"])
def test_an_empty_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    """Also one that holds blanks only."""
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match=r"x .* is empty: write the secret"):
        read_secret(tmp_path / "secret", "x")
    with pytest.raises(ConfigError, match=r"x .* cannot be read: No such file"):
        read_secret(tmp_path / "gone", "x")


@pytest.mark.parametrize("locale", ["C", "de_DE.ISO-8859-1"])
def test_any_locale_reads_and_prints(tmp_path: Path, locale: str) -> None:
    """Umlauts in folder names and in the file, whatever the environment says."""
    folder = tmp_path / "Prüfplatz"
    folder.mkdir()
    config = write_config(folder, "folder:Bilder für Müller", 1883)
    done = subprocess.run(
        [EDGE_APP, "check-config", str(config)],
        env={**os.environ, "LC_ALL": locale, "LANG": locale, "PYTHONUTF8": "0"},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert b"Traceback" not in said
    assert b"Bilder" in said  # the folder that is not there, in whatever signs can be printed
