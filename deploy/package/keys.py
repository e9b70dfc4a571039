"""The public keys that are installed on a device: for bundles and for commands."""

from __future__ import annotations

import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from edge_app.bundle.trusted_keys import (
    KEY_SUFFIX,
    REVOKED,
    TrustPolicy,
    key_id_of,
    load_trust,
)
from edge_app.errors import DataError
from edge_app.host.small_file import read_small

TRUSTED, OPERATORS = "trusted_keys", "operator_keys"


def copy_keys(trusted: Path | None, operators: Path | None, folder: Path) -> None:
    """Copy public keys and lists of revoked ones below a folder; never a private key.

    Args:
        trusted: the keys that sign bundles, for `trusted_keys/`.
        operators: the keys that sign commands, for `operator_keys/`.

    Raises:
        ConfigError: a folder has no valid key, or one that a device cannot read.
        DataError: there is no public key, a file has a private one, or a key is in both folders.
    """
    policies = [
        _copy(source, folder / name)
        for source, name in ((trusted, TRUSTED), (operators, OPERATORS))
        if source is not None
    ]
    if len(policies) == 2:
        _check_apart(policies[0], policies[1])


def check_signer(key: ec.EllipticCurvePublicKey, trusted: Path) -> None:
    """Return if devices trust the key that signs their archive.

    Args:
        trusted: the archive's folder of trusted keys; may not be there.

    Raises:
        DataError: it is not among them, or revoked: no device would take the next archive.
    """
    policy = load_trust(trusted) if trusted.is_dir() else TrustPolicy({})
    key_id = key_id_of(key)
    if key_id not in policy.keys or key_id in policy.revoked:
        raise DataError(
            f"The key {key_id[:16]} that is to sign the archive is not among the trusted keys "
            "inside, or revoked: devices would refuse what it signs. Name the folder with its .pub "
            "file with --keys."
        )


def _copy(source: Path, target: Path) -> TrustPolicy:
    try:
        public = sorted(file for file in source.iterdir() if file.suffix == KEY_SUFFIX)
    except OSError as error:  # `Path.glob` would show an empty folder
        raise DataError(f"The keys in {source} cannot be listed: {error.strerror}.") from error
    if not public:
        raise DataError(
            f"{source} holds no public key (*{KEY_SUFFIX}); `edge-deploy keygen` makes one."
        )
    listed = source / REVOKED
    files = [*public, *([listed] if listed.exists() else [])]
    for file in files:
        if b"PRIVATE" in read_small(file):
            raise DataError(f"{file} holds a private key; devices get public keys only.")
    policy = load_trust(source)
    target.mkdir()
    for file in files:
        shutil.copy(file, target)
    return policy


def _check_apart(trusted: TrustPolicy, operators: TrustPolicy) -> None:
    """Refuse a key in both roles: an operator could then sign models too."""
    for key_id in operators.keys.keys() & trusted.keys.keys():
        raise DataError(
            f"The key {operators.keys[key_id].name} ({key_id[:16]}) is in {trusted.folder} and in "
            f"{operators.folder}: its owner could sign bundles as well as commands. Keep "
            "operators' keys in a folder of their own, created with `keygen --out operators`."
        )
