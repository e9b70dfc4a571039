"""A paho client whose network thread outlives what a broker sends.

paho raises in its thread on a packet that it cannot read, and reads packets of any size into
memory. Here the first ends the connection, with a reason; the second costs itself: a packet that is
too large is read to its end and thrown away, because a broker sends a retained one, or one of a
session, again with every connection.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from edge_app.host.name_lookup import addresses_of
from edge_app.mqtt.broker_limits import MAX_PACKET_IN

CHUNK_BYTES = 64 << 10
"""Read at once: paho would ask for a whole packet, and have room made for it."""
KEPT_BYTES = 128 << 10
"""Of a packet that is too large: enough for its topic (at most 65,535 bytes) and number."""

_log = logging.getLogger(__name__)


class GuardedClient(Client):
    """paho's client, with a limit on what it keeps and an end for what it cannot read.

    Attributes:
        on_broken: called in the network thread when a packet cannot be read.
        why_broken: why the connection was ended here; "" if it was not.
        cut_bytes: in `on_message`: how many bytes the message had, if it was too large; 0 if not.
    """

    on_broken: Callable[[str], None] | None = None
    why_broken = ""
    cut_bytes = 0

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

    def _create_socket_connection(self) -> socket.socket:
        """Connect to the first of the host's addresses that answers; names have a limit too."""
        if self._get_proxy():
            return super()._create_socket_connection()
        fault: OSError | None = None
        for address in addresses_of(self._host, self._port, self.connect_timeout):
            try:
                return socket.create_connection(address, self.connect_timeout)
            except OSError as error:
                fault = error
        raise fault or OSError(f"{self._host!r} has no address")

    def note_broken(self, error: Exception) -> None:
        """Remember, in words, that a packet could not be read."""
        _log.debug("MQTT: an unreadable packet", exc_info=error)
        what = f"{type(error).__name__}: {error}"[:200]
        self.why_broken = f"the broker sent a packet that cannot be read ({what!r})"

    def _sock_recv(self, bufsize: int) -> bytes:
        """Read in pieces, and keep no more than the beginning of a packet that is too large."""
        packet = self._in_packet
        if bufsize == 1 and not packet["have_remaining"]:
            self.cut_bytes = 0  # a packet begins
        elif packet["remaining_length"] > MAX_PACKET_IN:
            self.cut_bytes = packet["remaining_length"]
            del packet["packet"][KEPT_BYTES:]
        return super()._sock_recv(min(bufsize, CHUNK_BYTES))


def too_large_text(topic: str, size: int) -> str:
    """Return what people read about a received message that was too large."""
    return (
        f"a message of {size:,} bytes on {topic[:200]!r} was passed over: at most "
        f"{MAX_PACKET_IN:,} are read. Find out who publishes it"
    )
