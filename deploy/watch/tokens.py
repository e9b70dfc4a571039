"""Which page's token goes to which host: a token is sent to nobody that its owner did not name.

An alert names where its picture is, and whoever may publish alerts could name any server.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult

from edge_app.errors import ConfigError
from edge_app.host.small_file import read_small_text


def read_tokens(path: Path) -> dict[str, str]:
    """Return host, or host:port → token, of a file with one `HOST[:PORT] TOKEN` a line.

    Empty lines and lines that begin with # are passed over.

    Raises:
        ConfigError: it cannot be read, or a line is not of that form; the message has no token.
    """
    try:
        lines = read_small_text(path).splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(f"--evidence-tokens {path} cannot be read: {why}.") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or "/" in words[0] or not words[1].isascii():
            raise ConfigError(
                f"--evidence-tokens {path}, line {number}: expected HOST[:PORT] TOKEN, e.g. "
                "press-3.plant:8080 and its page's token."
            )
        found[words[0].lower()] = words[1]
    return found


def token_for(address: SplitResult, tokens: Mapping[str, str]) -> str | None:
    """Return the token for an address: that of its host and port, else that of its host."""
    host = (address.hostname or "").lower()
    port = address.port or (443 if address.scheme == "https" else 80)
    return tokens.get(f"{host}:{port}") or tokens.get(host)
