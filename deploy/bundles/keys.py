"""Signing keys: ECDSA P-256 in PEM files, the private one encrypted if a passphrase is given."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_app.bundle.trusted_keys import KEY_SUFFIX, TrustedKey, key_id_of
from edge_app.errors import ConfigError
from edge_app.host.small_file import read_small, read_small_text

PRIVATE_SUFFIX = ".key"
LONGEST_PASSPHRASE = 1023
"""Bytes; OpenSSL takes no longer one."""
PASSPHRASE_VARIABLE = "CROPLIQ_KEY_PASSPHRASE"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def generate_key(
    folder: Path, name: str, passphrase: bytes | None, expires_at: datetime | None
) -> TrustedKey:
    """Write a new pair, `NAME.key` (mode 0600) and `NAME.pub`; return the public half.

    Args:
        expires_at: written into the .pub file as a line before the key; None: never.

    Raises:
        ConfigError: the name cannot be a file name, a file of that name exists, or the folder
            cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is not a key name: expected letters, digits, '_', '.', '-'.")
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    private_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption(),
    )
    key_id = key_id_of(public)
    lines = [f"key-id: {key_id}\n"]
    if expires_at is not None:
        lines.append(f"expires: {expires_at:%Y-%m-%dT%H:%M:%SZ}\n")
    public_pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
        _write_new(folder / f"{name}{PRIVATE_SUFFIX}", private_pem, 0o600)
        _write_new(folder / f"{name}{KEY_SUFFIX}", "".join(lines).encode() + public_pem, 0o644)
    except FileExistsError as error:
        raise ConfigError(
            f"{error.filename} exists already; nothing was overwritten. Choose another "
            "--name or --out."
        ) from error
    except OSError as error:
        raise ConfigError(f"No key written to {folder}: {error.strerror}.") from error
    return TrustedKey(key_id, name, public, expires_at)


def load_private_key(path: Path, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a PEM file.

    Raises:
        ConfigError: the file cannot be read, the passphrase is missing, wrong or not needed, or it
            is not an ECDSA P-256 key.
    """
    try:
        key = serialization.load_pem_private_key(read_small(path), passphrase)
    except OSError as error:
        raise ConfigError(f"The key {path} cannot be read: {error.strerror}.") from error
    except TypeError as error:  # a passphrase is missing, or given for a key that has none
        raise ConfigError(
            f"The key {path}: {error}. Passphrases come from --passphrase-file or "
            f"{PASSPHRASE_VARIABLE}."
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"The key {path} cannot be opened: the passphrase is wrong, or it is not a "
            f"private key in PEM form ({error})."
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ConfigError(f"{path} is not an ECDSA P-256 key.")
    return key


def read_passphrase(file: Path | None, environment: Mapping[str, str]) -> bytes | None:
    """Return the file's first line, else the variable's value, else None.

    Raises:
        ConfigError: the file cannot be read, or what was named is empty or too long.
    """
    if file is None and PASSPHRASE_VARIABLE not in environment:
        return None
    try:
        text = read_small_text(file) if file else environment[PASSPHRASE_VARIABLE]
    except OSError as error:
        raise ConfigError(
            f"The passphrase file {file} cannot be read: {error.strerror}."
        ) from error
    line = text.partition("\n")[0].rstrip("\r")
    if not line:
        raise ConfigError(f"The passphrase from {file or PASSPHRASE_VARIABLE} is empty.")
    if len(line.encode()) > LONGEST_PASSPHRASE:
        raise ConfigError(
            f"The passphrase from {file or PASSPHRASE_VARIABLE} is longer than "
            f"{LONGEST_PASSPHRASE} bytes: expected a file whose first line is the passphrase."
        )
    return line.encode()


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not exist, with exactly these permissions from the start."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
