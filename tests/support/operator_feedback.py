"""What operators say of parts over MQTT, right and wrong."""

from __future__ import annotations

import secrets
import time
from typing import Any

from deploy.fleet.signed_command import sign_order
from edge_app.mqtt.command_messages import Command, GiveFeedback
from edge_app.mqtt.timestamps import rfc3339, uuid7
from edge_app.mqtt.topics import DeviceName
from support.operator_commands import operator
from support.signed_bundles import Signer


def feedback(
    who: DeviceName,
    part_id: str,
    mark: str = "false_alarm",
    by: Signer | None = None,
    age_s: float = 0.0,
    life_s: float = 60.0,
    **changed: Any,
) -> Command:
    """Return feedback signed by an operator; `changed` may make it an impossible one."""
    issued_ns = time.time_ns() - round(age_s * 1e9)
    fields = {
        "command_id": uuid7(issued_ns, secrets.randbits),
        "device": str(who),
        "part_id": part_id,
        "mark": mark,
        "issued_at": rfc3339(issued_ns),
        "expires_at": rfc3339(issued_ns + round(life_s * 1e9)),
    }
    text = GiveFeedback.model_construct(**(fields | changed)).model_dump_json(warnings=False)
    return sign_order(text, (by or operator()).key)
