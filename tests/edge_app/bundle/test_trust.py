"""The folder of trusted keys is read whole or not at all."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from support.signed_bundles import Signer

from deploy.bundles.keys import generate_key
from edge_app.bundle.trusted_keys import load_trust, parse_moment
from edge_app.errors import ConfigError


def pem(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def test_every_pub_file_is_a_trusted_key(tmp_path: Path) -> None:
    """A folder may hold several keys; other files beside them do not matter."""
    old = generate_key(tmp_path, "old", None, None)
    new = generate_key(tmp_path, "new", None, datetime(2030, 1, 1, tzinfo=timezone.utc))
    (tmp_path / "README").write_text("two keys")
    trust = load_trust(tmp_path)
    assert set(trust.keys) == {old.key_id, new.key_id}
    assert trust.key(new.key_id, "a").name == "new"
    assert trust.key(new.key_id, "a").expires_at == datetime(2030, 1, 1, tzinfo=timezone.utc)
    assert trust.key(old.key_id, "a").expires_at is None


def test_openssls_keys_are_keys_too(tmp_path: Path) -> None:
    """A bare PEM file, as other tools write it, has the id that model signing gives it."""
    signer = Signer("bare")
    (tmp_path / "bare.pub").write_text(pem(signer.key.public_key()))
    assert set(load_trust(tmp_path).keys) == {signer.key_id}


def test_revoked_ids_are_read_with_comments(tmp_path: Path) -> None:
    """revoked.txt has one id per line; blank lines and comments are left out."""
    key = generate_key(tmp_path, "key", None, None)
    (tmp_path / "revoked.txt").write_text(f"# lost laptop\n\n{'0' * 64}  # 12 May\n")
    trust = load_trust(tmp_path)
    assert trust.revoked == {"0" * 64}
    assert set(trust.keys) == {key.key_id}


def files_of(name: str, text: str | bytes) -> dict[str, bytes]:
    return {name: text if isinstance(text, bytes) else text.encode()}


P256, P384 = ec.SECP256R1(), ec.SECP384R1()
GOOD = pem(ec.generate_private_key(P256).public_key())


@pytest.mark.parametrize(
    ("what", "files", "told"),
    [
        ("nothing", {}, "holds no trusted key"),
        ("garbage", files_of("a.pub", "hello"), "a.pub is no PEM public key"),
        (
            "another curve",
            files_of("a.pub", pem(ec.generate_private_key(P384).public_key())),
            "holds another kind of key",
        ),
        (
            "RSA",
            files_of("a.pub", pem(rsa.generate_private_key(65537, 2048).public_key())),
            "holds another kind of key",
        ),
        ("two keys in one file", files_of("a.pub", GOOD + GOOD), "holds several keys"),
        ("no date", files_of("a.pub", "expires: soon\n" + GOOD), "'soon' is no date"),
        (
            "two dates",
            files_of("a.pub", "expires: 2030-01-01\nexpires: 2031-01-01\n" + GOOD),
            "is not understood",
        ),
        ("a misspelt line", files_of("a.pub", "Expires 2030\n" + GOOD), "'Expires 2030' is not"),
        ("another key's id", files_of("a.pub", f"key-id: {'0' * 64}\n" + GOOD), "but its key is"),
        ("no zone", files_of("a.pub", "expires: 2030-01-01T00:00:00\n" + GOOD), "no time zone"),
        ("a huge file", files_of("a.pub", b"x" * 70_000), "larger than 65536 bytes"),
        (
            "a revocation that cannot be read",
            files_of("a.pub", GOOD) | files_of("revoked.txt", "that old key"),
            "revoked.txt line 1 is no key id",
        ),
        (
            "half an id",
            files_of("a.pub", GOOD) | files_of("revoked.txt", "ab" * 8),
            "revoked.txt line 1 is no key id",
        ),
    ],
)
def test_a_folder_that_cannot_be_trusted_is_an_error(
    tmp_path: Path, what: str, files: dict[str, bytes], told: str
) -> None:
    """Nothing is guessed: one wrong file, and no bundle is trusted."""
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=told):
        load_trust(tmp_path)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """A folder that is not there names itself."""
    with pytest.raises(ConfigError, match=r"keys cannot be read: No such file"):
        load_trust(tmp_path / "keys")


def test_a_folder_of_revoked_keys_trusts_nobody(tmp_path: Path) -> None:
    """When every key is revoked, that is said at start, not bundle by bundle."""
    key = generate_key(tmp_path, "key", None, None)
    (tmp_path / "revoked.txt").write_text(key.key_id)
    with pytest.raises(ConfigError, match="holds no trusted key"):
        load_trust(tmp_path)


def test_moments_are_utc() -> None:
    """A date is its midnight in UTC; a time needs a zone."""
    assert parse_moment("2028-01-31", "x") == datetime(2028, 1, 31, tzinfo=timezone.utc)
    noon = datetime(2028, 1, 31, 12, 0, tzinfo=timezone.utc)
    assert parse_moment("2028-01-31T12:00:00Z", "x") == noon
    assert parse_moment("2028-01-31T14:00:00+02:00", "x") == noon
