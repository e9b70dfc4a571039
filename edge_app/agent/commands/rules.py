"""May this device carry out that command, now? Pure rules: no files, no clock, no network."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from edge_app.bundle.signature import pae
from edge_app.bundle.trusted_keys import TrustedKey, TrustPolicy
from edge_app.errors import CommandError
from edge_app.mqtt.command_messages import COMMAND_TYPE, Command, GiveFeedback, SelectProduct
from edge_app.mqtt.timestamps import epoch_ns
from edge_app.mqtt.topics import DeviceName

_M = TypeVar("_M", bound=BaseModel)
_Signed = TypeVar("_Signed", SelectProduct, GiveFeedback)

MAX_COMMAND_BYTES = 16 << 10
"""A command has about 700 bytes."""

MAX_LIFE = timedelta(minutes=10)
"""So long a device remembers a command that was carried out; nothing signed may live longer."""

CLOCK_SLACK = timedelta(minutes=1)
"""Workstation and device may differ by so much: two machines set by hand, not by NTP."""


def read_command(
    payload: bytes, trust: TrustPolicy, device: DeviceName, now: datetime, doubt: str = ""
) -> tuple[SelectProduct, TrustedKey]:
    """Return a command to change the product, and the operator's key that vouches for it.

    Raises:
        CommandError: see `read_signed`.
    """
    return read_signed(SelectProduct, payload, trust, device, now, doubt)


def read_signed(
    model: type[_Signed],
    payload: bytes,
    trust: TrustPolicy,
    device: DeviceName,
    now: datetime,
    doubt: str = "",
) -> tuple[_Signed, TrustedKey]:
    """Return the order in a signed message, and the operator's key that vouches for it.

    The order is parsed only after the signature over it has been checked.

    Args:
        model: what is expected.
        trust: the operators' keys.
        now: with a time zone.
        doubt: why `now` may be wrong, for people; "" if it is right.

    Raises:
        CommandError: it is no command, not signed by a trusted key, meant for another device,
            expired, or valid for too long.
    """
    if len(payload) > MAX_COMMAND_BYTES:
        raise CommandError(f"Command refused: longer than {MAX_COMMAND_BYTES} bytes.")
    command = _parsed(Command, payload)
    key = _operator(command.key_id, trust, now, doubt)
    signed = pae(command.order.encode(), COMMAND_TYPE)
    if not key.has_signed(signed, _decoded(command.signature)):
        raise CommandError(
            f"Command refused: its signature is not the one of key {key.name} over its order. It "
            "was altered on its way; send it again."
        )
    order = _parsed(model, command.order.encode())
    if order.device != str(device):
        raise CommandError(f"Command refused: it is for {order.device}, this device is {device}.")
    _check_time(_moment(order.issued_at), _moment(order.expires_at), now, doubt)
    return order, key


def _operator(key_id: str, trust: TrustPolicy, now: datetime, doubt: str) -> TrustedKey:
    if key_id in trust.revoked:
        raise CommandError(
            f"Command refused: it is signed with the revoked key {key_id[:16]}. Sign it with "
            "another operator's key."
        )
    key = trust.keys.get(key_id)
    if key is None:
        ours = ", ".join(f"{k.name} ({k.key_id[:16]})" for k in trust.keys.values())
        raise CommandError(
            f"Command refused: it is signed with the key {key_id[:16]}, which is no operator's "
            f"here. Operators: {ours}. Sign it with one of these, or add the key's .pub file to "
            "agent.operator_keys_dir."
        )
    if key.expires_at is not None and now >= key.expires_at:
        raise CommandError(
            f"Command refused: the key {key.name} expired on {key.expires_at:%Y-%m-%d %H:%M} UTC, "
            f"here it is {now:%Y-%m-%d %H:%M}. "
            + _advice(
                doubt, "Sign it with another operator's key, or set this clock if that is wrong."
            )
        )
    return key


def _advice(doubt: str, otherwise: str) -> str:
    """Return what to do about a date that has passed, or is still to come, by this clock."""
    return f"But {doubt}: set it (NTP) first, then send the command again." if doubt else otherwise


def _check_time(issued_at: datetime, expires_at: datetime, now: datetime, doubt: str) -> None:
    if expires_at - issued_at > MAX_LIFE:
        raise CommandError(
            f"Command refused: it is valid for {expires_at - issued_at}, at most {MAX_LIFE} may be."
        )
    if now >= expires_at:
        raise CommandError(
            f"Command refused: it expired at {expires_at:%H:%M:%S} UTC, here it is {now:%H:%M:%S} "
            f"on {now:%Y-%m-%d}. "
            + _advice(doubt, "Send it again, or set this clock if that is wrong.")
        )
    if issued_at - now > CLOCK_SLACK:
        raise CommandError(
            f"Command refused: it was issued at {issued_at:%H:%M:%S} UTC, which is still to come: "
            f"here it is {now:%H:%M:%S} on {now:%Y-%m-%d}. "
            + _advice(doubt, "Set the clock that is wrong.")
        )


def _parsed(model: type[_M], text: bytes) -> _M:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise CommandError(f"Command refused: {place}: {first['msg']}.") from error


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CommandError("Command refused: its signature is no base64.") from error


def _moment(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(epoch_ns(text) / 1e9, tz=timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise CommandError(f"Command refused: {text} is no time.") from error
