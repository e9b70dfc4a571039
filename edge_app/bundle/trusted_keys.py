"""Which keys this device trusts: a folder with public keys and a list of revoked ones.

The folder belongs to root. To rotate, keep two keys side by side; see docs/configuration.md.
`cryptography` is imported where a key is read or used: a device without keys does without it
(decision 0032).
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.errors import BundleError, ConfigError
from edge_app.host.small_file import read_small

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

REVOKED = "revoked.txt"
KEY_SUFFIX = ".pub"

_CURVE = "secp256r1"
"""P-256, as the cryptography package calls it."""

_MAX_FILE_BYTES = 64 * 1024
_KEY_ID = re.compile(r"[0-9a-f]{64}")
_HEADING = re.compile(r"(key-id|expires):[ \t]*(\S+)[ \t]*")


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One pinned public key, ECDSA P-256.

    Attributes:
        key_id: see `key_id_of`.
        name: its file's name without `.pub`.
        expires_at: from then on nothing signed with it is installed; None: never.
    """

    key_id: str
    name: str
    public_key: ec.EllipticCurvePublicKey = field(repr=False)
    expires_at: datetime | None = None

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Tell whether `signature` (ASN.1 DER, SHA-256) is this key's over `message`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            self.public_key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """The keys this device trusts, and the revoked ones.

    Attributes:
        keys: key id → key; may still hold revoked ones.
        revoked: key ids, with or without a key in the folder.
        folder: where they were read from, for messages.
    """

    keys: Mapping[str, TrustedKey]
    revoked: frozenset[str] = frozenset()
    folder: Path = Path()

    def key(self, key_id: str, label: str) -> TrustedKey:
        """Return the trusted key with that id.

        Args:
            label: names the bundle in messages.

        Raises:
            BundleError: the key is revoked, or not in the folder.
        """
        if key_id in self.revoked:
            raise BundleError(
                f"Bundle {label} refused: it is signed with the revoked key {key_id[:16]}. "
                "Sign it again with a key that is trusted."
            )
        if key_id not in self.keys:
            ours = ", ".join(f"{k.name} ({k.key_id[:16]})" for k in self.keys.values())
            raise BundleError(
                f"Bundle {label} refused: it is signed with the key {key_id[:16]!r}, which is not "
                f"trusted here. Trusted: {ours}. Sign it with one of these, or add the key's .pub "
                f"file to {self.folder}."
            )
        return self.keys[key_id]


def load_trust(folder: Path) -> TrustPolicy:
    """Return the policy a folder holds: `NAME.pub` PEM files and, optional, `revoked.txt`.

    Raises:
        ConfigError: the folder cannot be read, a file in it is not what its name says, or no key
            is left that is not revoked.
    """
    try:
        files = sorted(p for p in folder.iterdir() if p.suffix == KEY_SUFFIX)
        keys = [parse_public_key(p.stem, _text_of(p), str(p)) for p in files]
        listed = folder / REVOKED
        revoked = parse_revoked(_text_of(listed), str(listed)) if listed.exists() else frozenset()
    except OSError as error:
        raise ConfigError(
            f"The trusted keys in {folder} cannot be read: {error.strerror} ({error.filename})."
        ) from error
    if not {k.key_id for k in keys} - revoked:
        raise ConfigError(
            f"{folder} holds no trusted key: expected at least one NAME{KEY_SUFFIX} (PEM, ECDSA "
            f"P-256) that is not in {REVOKED}. `edge-deploy keygen` makes one."
        )
    return TrustPolicy({k.key_id: k for k in keys}, revoked, folder)


def parse_public_key(name: str, text: str, origin: str) -> TrustedKey:
    """Return the one key of a PEM text.

    `expires: DATE`, `key-id: ID` and lines that begin with `#` may precede the PEM.

    Raises:
        ConfigError: it is not exactly one ECDSA P-256 public key, or a line before it is unknown,
            repeated or wrong: a misspelt `expires` must not make a key valid for ever.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{origin} is no PEM public key: {error}.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != _CURVE:
        raise ConfigError(f"{origin} holds another kind of key; expected ECDSA P-256.")
    if text.count("-----BEGIN") != 1:
        raise ConfigError(f"{origin} holds several keys; expected one per file.")
    headings = _headings(text.partition("-----BEGIN")[0], origin)
    key_id = key_id_of(key)
    if headings.get("key-id", key_id) != key_id:
        raise ConfigError(f"{origin} says key-id {headings['key-id']}, but its key is {key_id}.")
    ends = headings.get("expires")
    return TrustedKey(key_id, name, key, parse_moment(ends, origin) if ends else None)


def parse_revoked(text: str, origin: str) -> frozenset[str]:
    """Return the key ids of a `revoked.txt`: one per line, `#` begins a comment.

    Raises:
        ConfigError: a line is not a key id; ignoring it could trust a revoked key.
    """
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    for number, line in enumerate(lines, 1):
        if line and not _KEY_ID.fullmatch(line):
            raise ConfigError(
                f"{origin} line {number} is no key id: expected 64 hexadecimal digits in lower "
                f"case as `edge-deploy keygen` prints them, got {line!r}."
            )
    return frozenset(line for line in lines if line)


def parse_moment(text: str, origin: str) -> datetime:
    """Return a date (its midnight, UTC) or a date and time with `Z` or an offset.

    Raises:
        ConfigError: it is neither.
    """
    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError as error:
        raise ConfigError(
            f"{origin}: {text!r} is no date; expected e.g. 2028-01-31 or 2028-01-31T12:00:00Z."
        ) from error
    if moment.tzinfo is None and len(text) > len("2028-01-31"):
        raise ConfigError(f"{origin}: {text!r} names no time zone; end it with Z for UTC.")
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(
        timezone.utc
    )


def _headings(text: str, origin: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _HEADING.fullmatch(line)
        if match is None or match[1] in found:
            raise ConfigError(
                f"{origin}: the line {line!r} is not understood; expected before the key at most "
                "one `expires: DATE`, one `key-id: ID` and comments (#)."
            )
        found[match[1]] = match[2]
    return found


def key_id_of(key: ec.EllipticCurvePublicKey) -> str:
    """Return the hexadecimal sha256 of the key's PEM; OpenSSF model signing calls it the hint."""
    from cryptography.hazmat.primitives import serialization

    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(pem).hexdigest()


def _text_of(path: Path) -> str:
    try:
        return read_small(path, _MAX_FILE_BYTES).decode("utf-8", "replace")
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise ConfigError(
            f"{path} is larger than {_MAX_FILE_BYTES} bytes: it is not a key file."
        ) from error
