"""Passwords and tokens in files of their own: the first line is the secret."""

from __future__ import annotations

from pathlib import Path

from edge_app.errors import ConfigError
from edge_app.host.small_file import read_small_text
from edge_app.secret_text import learn_secret


def read_secret(file: Path, of: str) -> str:
    """Return a secret file's first line; from here on no text of this process shows it.

    Args:
        of: what it is for, for messages, e.g. "[mqtt] password_file".

    Raises:
        ConfigError: the file cannot be read, is no UTF-8, or holds nothing.
    """
    try:
        text = read_small_text(file)
    except OSError as error:
        raise ConfigError(f"{of} {file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{of} {file} cannot be read: byte {error.start} is no UTF-8. Save it as UTF-8."
        ) from error
    secret = text.strip().splitlines()[0].strip() if text.strip() else ""
    if not secret:
        raise ConfigError(f"{of} {file} is empty: write the secret into its first line.")
    learn_secret(secret)
    return secret
