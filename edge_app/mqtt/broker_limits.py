"""What a broker announces about itself when it accepts a connection (MQTT 5, section 3.2.2.3)."""

from __future__ import annotations

from dataclasses import dataclass

from paho.mqtt.properties import Properties

DEFAULT_RECEIVE_MAXIMUM = 65_535
"""What the absence of the property means (MQTT 5, 3.2.2.3.3)."""
MAX_PACKET_IN = 1 << 20
"""Largest packet that is read, and in MQTT 5 announced: commands and pointers have some kilobytes,
an alert that a 3.1.1 broker hands back at most MAX_ALERT_BYTES."""
MAX_ALERT_BYTES = 512 << 10
"""Larger alerts are shortened for every broker: many consumers read no more."""
PUBLISH_HEAD_BYTES = 1 + 4 + 2 + 2 + 1
"""Round a topic and a payload: packet type, its length in at most four bytes, the topic's length,
the packet's number, no properties."""


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """The limits of one connection; the defaults are those of a broker that announces none.

    Attributes:
        receive_maximum: how many publishes with QoS 1 may be unacknowledged at once, >= 1.
        maximum_packet: bytes of the largest packet that it takes; None: not announced.
        maximum_qos: 0, 1 or 2.
        retain_available: whether it keeps retained messages.
        wildcards_available: whether a subscription may hold `+` or `#`.
        server_keep_alive_s: its keep-alive, which replaces ours; None: ours counts.
        session_expiry_s: how long it keeps the session; None: as long as was asked for.
    """

    receive_maximum: int = DEFAULT_RECEIVE_MAXIMUM
    maximum_packet: int | None = None
    maximum_qos: int = 2
    retain_available: bool = True
    wildcards_available: bool = True
    server_keep_alive_s: int | None = None
    session_expiry_s: int | None = None

    @classmethod
    def announced(cls, properties: Properties | None) -> BrokerLimits:
        """Return what the properties of a CONNACK say; None: an MQTT 3.1.1 broker."""
        if properties is None:
            return cls()
        found = vars(properties)
        return cls(
            receive_maximum=max(1, found.get("ReceiveMaximum", DEFAULT_RECEIVE_MAXIMUM)),
            maximum_packet=found.get("MaximumPacketSize"),
            maximum_qos=found.get("MaximumQoS", 2),
            retain_available=bool(found.get("RetainAvailable", 1)),
            wildcards_available=bool(found.get("WildcardSubscriptionAvailable", 1)),
            server_keep_alive_s=found.get("ServerKeepAlive"),
            session_expiry_s=found.get("SessionExpiryInterval"),
        )

    def payload_room(self, topic: str) -> int:
        """Return the most bytes of a payload on this topic; below 0: not even an empty one."""
        most = MAX_ALERT_BYTES if self.maximum_packet is None else self.maximum_packet
        return min(MAX_ALERT_BYTES, most - PUBLISH_HEAD_BYTES - len(topic.encode()))
