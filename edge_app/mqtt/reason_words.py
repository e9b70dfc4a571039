"""MQTT's reason codes in words, and what to do about each. No IO.

Source: MQTT 5, section 2.4; a 3.1.1 broker's five codes arrive as the MQTT 5 ones.
"""

from __future__ import annotations

from typing import Final

PROTOCOL_VERSION: Final = 0x84
BUSY: Final = frozenset({0x88, 0x89, 0x97, 0x9F})
"""Server unavailable, server busy, quota exceeded, connection rate exceeded: they pass by
themselves, nobody has to come."""
TAKEN_OVER: Final = 0x8E
PACKET_TOO_LARGE: Final = 0x95
RETAIN_NOT_SUPPORTED: Final = 0x9A
QOS_NOT_SUPPORTED: Final = 0x9B

_ACL = "the broker's ACL must let this device write and read its own topics"
_LOGIN = "check [mqtt] username and password_file, or the client certificate"
_WORDS: Final[dict[int, tuple[str, str]]] = {
    0x04: ("Disconnected, with the last will", "look into the broker's log"),
    0x80: ("Unspecified error", "look into the broker's log"),
    0x81: ("Malformed packet", "look into the broker's log"),
    0x82: ("Protocol error", "look into the broker's log"),
    0x83: ("A reason of this broker's own", "look into the broker's log"),
    0x85: ("Client identifier not valid", "set [mqtt] client_id to one that the broker takes"),
    0x86: ("Bad user name or password", _LOGIN),
    0x87: ("Not authorized", _ACL),
    0x88: ("Server unavailable", "it is tried again"),
    0x89: ("Server busy", "it is tried again"),
    0x8A: ("Banned", "have the broker's administrator lift the ban"),
    0x8B: ("The server shuts down", "it is tried again"),
    0x8C: ("Bad authentication method", _LOGIN),
    0x8D: ("Keep-alive timeout", "the network between device and broker stalls"),
    0x8E: ("Session taken over", "another client uses this client id"),
    0x8F: ("Topic filter not valid", "look into the broker's log"),
    0x90: ("Topic name not valid", "the broker must allow topics below inspect/v1"),
    0x93: ("Receive maximum exceeded", "it is tried again with fewer messages at once"),
    0x94: ("Topic alias not valid", "look into the broker's log"),
    0x95: ("Packet too large", "raise the broker's maximum packet size"),
    0x96: ("Message rate too high", "raise the broker's rate limit for this device"),
    0x97: ("Quota exceeded", "raise the broker's quota for this device"),
    0x98: ("Administrative action", "ask the broker's administrator"),
    0x99: ("Payload format not valid", "the broker must allow JSON in UTF-8"),
    0x9A: ("Retained messages not supported", "allow retained messages on the broker"),
    0x9B: ("QoS not supported", "allow QoS 1 on the broker"),
    0x9C: ("Use another server", "set [mqtt] host to the broker that is meant"),
    0x9D: ("Server moved", "set [mqtt] host to the broker that is meant"),
    0x9F: ("Connection rate exceeded", "it is tried again"),
    0xA0: ("Maximum connect time", "it is tried again"),
    0xA1: ("Subscription identifiers not supported", "look into the broker's log"),
    0xA2: ("Wildcard subscriptions not supported", "allow subscriptions with + on the broker"),
}


def reason_text(code: int, given: str = "", detail: str = "") -> str:
    """Return a reason code in words.

    Args:
        given: the library's own name for the code, used if this module has none.
        detail: the broker's reason string.
    """
    words = _WORDS[code][0] if code in _WORDS else (given or f"reason code 0x{code:02X}")
    clean = "".join(c if c.isprintable() else "?" for c in detail[:200])
    return f"{words} (the broker says: {clean})" if clean else words


def advice(code: int) -> str:
    """Return what a person can do about a reason code."""
    return _WORDS[code][1] if code in _WORDS else "look into the broker's log"
