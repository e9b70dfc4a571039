"""Signed commands for one device."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from edge_app.bundle.signature import pae
from edge_app.bundle.trusted_keys import key_id_of
from edge_app.mqtt.command_messages import COMMAND_TYPE, Command, GiveFeedback, SelectProduct
from edge_app.mqtt.timestamps import rfc3339, uuid7
from edge_app.mqtt.topics import DeviceName


def select_command(
    product: str,
    slot: str,
    device: DeviceName,
    key: ec.EllipticCurvePrivateKey,
    now_ns: int,
    life_s: float,
) -> Command:
    """Return the command that makes one device judge another installed product.

    Args:
        key: the operator's.
        now_ns: wall clock, ns since the epoch.
        life_s: how long the device accepts it, also if it waits behind another command.
    """
    order = SelectProduct(
        command_id=uuid7(now_ns, secrets.randbits),
        device=str(device),
        slot=slot,
        product=product,
        issued_at=rfc3339(now_ns),
        expires_at=rfc3339(now_ns + round(life_s * 1e9)),
    )
    return sign_order(order.model_dump_json(), key)


def feedback_message(
    said: Mapping[str, Any],
    device: DeviceName,
    key: ec.EllipticCurvePrivateKey,
    now_ns: int,
    life_s: float,
) -> Command:
    """Return the message that tells one device what a person says of a part.

    Args:
        said: part_id, mark, and what else of `GiveFeedback` is known.
        key, now_ns, life_s: as `select_command`.

    Raises:
        pydantic.ValidationError: it is too long, or no mark.
    """
    order = GiveFeedback(
        command_id=uuid7(now_ns, secrets.randbits),
        device=str(device),
        issued_at=rfc3339(now_ns),
        expires_at=rfc3339(now_ns + round(life_s * 1e9)),
        **said,
    )
    return sign_order(order.model_dump_json(), key)


def sign_order(order: str, key: ec.EllipticCurvePrivateKey) -> Command:
    """Return an order's text with the operator's signature over it."""
    signature = key.sign(pae(order.encode(), COMMAND_TYPE), ec.ECDSA(hashes.SHA256()))
    return Command(
        order=order,
        key_id=key_id_of(key.public_key()),
        signature=base64.b64encode(signature).decode("ascii"),
    )
