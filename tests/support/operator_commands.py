"""Operators and their commands, right and wrong ones."""

from __future__ import annotations

import secrets
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.fleet.signed_command import sign_order
from edge_app.mqtt.command_messages import Command, SelectProduct
from edge_app.mqtt.timestamps import rfc3339, uuid7
from edge_app.mqtt.topics import DeviceName
from support.signed_bundles import Signer


@lru_cache
def operator(name: str = "operator") -> Signer:
    """Return a person with a key; the same one at every call."""
    return Signer(name)


def operator_keys(folder: Path, *people: Signer) -> Path:
    """Write public keys as a device pins them; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for person in people or (operator(),):
        pem = person.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{person.name}.pub").write_bytes(pem)
    return folder


def order(
    who: DeviceName, product: str, age_s: float = 0.0, life_s: float = 60.0, **changed: Any
) -> SelectProduct:
    """Return an order that was issued so long ago."""
    issued_ns = time.time_ns() - round(age_s * 1e9)
    fields = {
        "command_id": uuid7(issued_ns, secrets.randbits),
        "device": str(who),
        "product": product,
        "issued_at": rfc3339(issued_ns),
        "expires_at": rfc3339(issued_ns + round(life_s * 1e9)),
    }
    return SelectProduct.model_construct(**(fields | changed))


def command(
    who: DeviceName,
    product: str,
    by: Signer | None = None,
    age_s: float = 0.0,
    life_s: float = 60.0,
    **changed: Any,
) -> Command:
    """Return an order signed by an operator; `changed` may make it an impossible one."""
    text = order(who, product, age_s, life_s, **changed).model_dump_json()
    return sign_order(text, (by or operator()).key)
