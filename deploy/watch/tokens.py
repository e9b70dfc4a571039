"""Which page's token goes to which host: a token is sent to nobody that its owner did not name.

An alert names where its picture is, and whoever may publish alerts could name any server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import SplitResult

from edge_app.errors import ConfigError
from edge_app.host.small_file import read_small_text
from edge_app.store.secret_file import read_secret

HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?")


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


def read_token(path: Path | None, hosts: Sequence[str]) -> dict[str, str]:
    """Return host, or host:port → the one token of a file; {} without a file.

    Raises:
        ConfigError: the file cannot be read or is empty, or no host is named, or one is no host.
    """
    if path is None and not hosts:
        return {}
    if path is None or not hosts:
        raise ConfigError(
            "--token-file and --token-host belong together: an alert may name any server, and the "
            "token is sent to none but those that are named."
        )
    for host in hosts:
        if not HOST.fullmatch(host):
            raise ConfigError(
                f"--token-host {host[:80]!r} is no host; expected HOST or HOST:PORT, without https://."
            )
    token = read_secret(path, "--token-file")
    if not token.isascii() or not token.isprintable():
        raise ConfigError(f"--token-file {path}: expected a token of printable ASCII characters.")
    return {host.lower(): token for host in hosts}


def token_for(address: SplitResult, tokens: Mapping[str, str]) -> str | None:
    """Return the token for an address: that of its host and port, else that of its host."""
    host = (address.hostname or "").lower()
    port = address.port or (443 if address.scheme == "https" else 80)
    return tokens.get(f"{host}:{port}") or tokens.get(host)
