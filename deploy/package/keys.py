"""The public keys that go onto a device: whose bundles it takes, and whose commands."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_app.bundle.trusted_keys import KEY_SUFFIX, REVOKED, TrustPolicy, load_trust
from edge_app.errors import DataError

TRUSTED, OPERATORS = "trusted_keys", "operator_keys"


def copy_keys(trusted: Path | None, operators: Path | None, folder: Path) -> None:
    """Copy public keys and lists of revoked ones below a folder; a private key never leaves.

    Args:
        trusted: the keys that sign bundles, for `trusted_keys/`.
        operators: the keys that sign commands, for `operator_keys/`.

    Raises:
        ConfigError: a folder holds no key that counts, or one that a device could not read.
        DataError: there is no public key, a file holds a private one, or a key is in both folders.
    """
    policies = [
        _copy(source, folder / name)
        for source, name in ((trusted, TRUSTED), (operators, OPERATORS))
        if source is not None
    ]
    if len(policies) == 2:
        _check_apart(policies[0], policies[1])


def _copy(source: Path, target: Path) -> TrustPolicy:
    public = sorted(source.glob(f"*{KEY_SUFFIX}"))
    if not public:
        raise DataError(
            f"{source} holds no public key (*{KEY_SUFFIX}); `edge-deploy keygen` makes one."
        )
    listed = source / REVOKED
    files = [*public, *([listed] if listed.exists() else [])]
    for file in files:
        if b"PRIVATE" in file.read_bytes():
            raise DataError(f"{file} holds a private key; only public keys go onto a device.")
    policy = load_trust(source)
    target.mkdir()
    for file in files:
        shutil.copy(file, target)
    return policy


def _check_apart(trusted: TrustPolicy, operators: TrustPolicy) -> None:
    """Refuse a key with both powers: whoever changes products would sign models too."""
    for key_id in operators.keys.keys() & trusted.keys.keys():
        raise DataError(
            f"The key {operators.keys[key_id].name} ({key_id[:16]}) is in {trusted.folder} and in "
            f"{operators.folder}: its owner could sign bundles as well as commands. Keep "
            "operators' keys in a folder of their own, made with `keygen --out operators`."
        )
