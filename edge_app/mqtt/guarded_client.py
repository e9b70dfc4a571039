"""A paho client whose network thread outlives what a broker sends.

paho raises in its thread on a packet that it cannot read, and reads packets of any size into
memory. Here both end the connection, with a reason, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from edge_app.mqtt.broker_limits import MAX_PACKET_IN

_log = logging.getLogger(__name__)


class GuardedClient(Client):
    """paho's client, with a limit on what it reads and an end for what it cannot read.

    Attributes:
        on_broken: called in the network thread when a packet cannot be read.
        why_broken: why the connection was ended here; "" if it was not.
    """

    on_broken: Callable[[str], None] | None = None
    why_broken = ""

    def loop_forever(
        self, timeout: float = 1.0, retry_first_connection: bool = False
    ) -> MQTTErrorCode:
        """Run the network thread until the connection ends. Never raises."""
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as error:
            self.note_broken(error)
            if self.on_broken is not None:
                self.on_broken(self.why_broken)
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def note_broken(self, error: Exception) -> None:
        """Remember, in words, that a packet could not be read."""
        _log.debug("MQTT: an unreadable packet", exc_info=error)
        what = f"{type(error).__name__}: {error}"[:200]
        self.why_broken = f"the broker sent a packet that cannot be read ({what})"

    def _sock_recv(self, bufsize: int) -> Any:
        """Refuse a packet by its length, before any of it is read: paho asks for all of it."""
        if bufsize > MAX_PACKET_IN:
            self.why_broken = (
                f"the broker sent a packet of {bufsize:,} bytes; at most {MAX_PACKET_IN:,} are "
                "read. Find out who publishes it below this device's topics"
            )
            raise ConnectionAbortedError(self.why_broken)
        return super()._sock_recv(bufsize)
