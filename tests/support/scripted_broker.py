"""A broker of the standard library alone, on loopback, that misbehaves where a test asks it to.

It speaks MQTT 5 and 3.1.1 as far as this project uses them, keeps retained messages and last wills,
and writes down every packet that reaches it. It keeps no sessions; its QoS is 1 as far as PUBACK.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.brokers import HOST

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14
NOT_AUTHORISED = 0x87
HANG_UP = -1
"""In place of a reason code: close the connection without an answer."""
NO_ANSWER = -2
"""In place of a reason code: take the message and acknowledge nothing."""
RECEIVE_EXCEEDED, TAKEN_OVER, TOO_LARGE = 0x93, 0x8E, 0x95
NO_RETAIN, NO_QOS = 0x9A, 0x9B


@dataclass
class Script:
    """How the broker behaves; may be changed while it runs.

    Attributes:
        speaks_mqtt5: otherwise it hangs up on an MQTT 5 CONNECT, as old brokers do.
        login_code: CONNACK's reason, or HANG_UP.
        subscribe_code: SUBACK's reason for every filter; 1 grants QoS 1.
        publish_codes: PUBACK's reason by the end of a topic, or HANG_UP.
        acknowledges: whether there is a PUBACK at all.
        sends_all_retained: to every subscriber, whatever it subscribed to, as amqtt does.
        receive_maximum, maximum_packet, maximum_qos, retain_available, keep_alive_s: announced in
            CONNACK to MQTT 5 clients, and enforced with the reason code that the standard names.
        silent_maximum_packet: enforced by hanging up, and announced to nobody.
        judges: PUBACK's reason by topic and payload, HANG_UP or NO_ANSWER.
        ack_delay_s: how long it takes to acknowledge.
        ack_copies: how often it acknowledges each message.
        takes_over: a client id that connects again disconnects the connection before, with 0x8E.
    """

    speaks_mqtt5: bool = True
    login_code: int = 0
    subscribe_code: int = 1
    publish_codes: dict[str, int] = field(default_factory=dict)
    acknowledges: bool = True
    sends_all_retained: bool = False
    receive_maximum: int | None = None
    maximum_packet: int | None = None
    maximum_qos: int | None = None
    retain_available: bool = True
    keep_alive_s: int | None = None
    silent_maximum_packet: int | None = None
    judges: Callable[[str, bytes], int] = lambda _topic, _payload: 0
    ack_delay_s: float = 0.0
    ack_copies: int = 1
    takes_over: bool = False

    def properties(self) -> bytes:
        """Return CONNACK's properties, with their length."""
        found = b""
        for number, size, value in (
            (0x13, 2, self.keep_alive_s),
            (0x21, 2, self.receive_maximum),
            (0x24, 1, self.maximum_qos),
            (0x25, 1, None if self.retain_available else 0),
            (0x27, 4, self.maximum_packet),
        ):
            if value is not None:
                found += bytes([number]) + value.to_bytes(size, "big")
        return bytes([len(found)]) + found


class ScriptedBroker:
    """A running broker; use it as a context manager.

    Attributes:
        packets: what clients sent, in order: ("connect", client id, protocol level),
            ("subscribe", filters), ("publish", topic, payload, QoS, retained),
            ("disconnect",), ("ping",).
        retained: payload by topic.
        violations: what clients did against the announced limits, in words.
        most_in_flight: the most publishes of one connection that were unacknowledged at once.
        connect_properties: the bytes of the properties of each MQTT 5 CONNECT.
        wills: (QoS, retained) of each connection's last will.
    """

    def __init__(self, port: int = 0) -> None:
        self.script = Script()
        self.packets: list[tuple[Any, ...]] = []
        self.retained: dict[str, bytes] = {}
        self.violations: list[str] = []
        self.most_in_flight = 0
        self.connect_properties: list[bytes] = []
        self.wills: list[tuple[int, bool]] = []
        self.clients: list[_Client] = []
        self.lock = threading.RLock()
        broker = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                _Client(broker, self.request).serve()

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._server = socketserver.ThreadingTCPServer((HOST, port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> ScriptedBroker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self.hang_up()
        self._server.server_close()

    def sent(self, kind: str) -> list[tuple[Any, ...]]:
        """Return the packets of one kind so far, without the kind."""
        return [packet[1:] for packet in list(self.packets) if packet[0] == kind]

    def published(self, end: str) -> list[bytes]:
        """Return the payloads that clients published on topics with this ending."""
        return [payload for topic, payload, *_ in self.sent("publish") if topic.endswith(end)]

    def hang_up(self) -> None:
        """Close every connection; last wills are published."""
        for client in list(self.clients):
            client.close()

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Publish as somebody else would, and as a client's message is passed on."""
        with self.lock:
            if retain:
                self.retained[topic] = payload
                if not payload:
                    del self.retained[topic]
            for client in list(self.clients):
                if any(matches(topic, pattern) for pattern in client.filters):
                    client.deliver(topic, payload, is_retained=False)


def matches(topic: str, pattern: str) -> bool:
    """Tell whether a topic fits a subscription."""
    levels, wanted = topic.split("/"), pattern.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(levels) == len(wanted)


class _Client:
    """One connection, served in its own thread."""

    def __init__(self, broker: ScriptedBroker, sock: socket.socket) -> None:
        self._broker = broker
        self._sock = sock
        self._stream = sock.makefile("rb")
        self._packet_bytes = 0
        self._is_mqtt5 = False
        self._will: tuple[str, bytes, bool] | None = None
        self._numbers = 0
        self._in_flight = 0
        self.client_id = ""
        self.filters: list[str] = []

    def serve(self) -> None:
        self._broker.clients.append(self)
        with contextlib.suppress(OSError, EOFError, ValueError):
            while self._take(*self._read_packet()):
                pass
        self._broker.clients.remove(self)
        self._stream.close()
        self.close()
        if self._will is not None:
            self._broker.publish(*self._will)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def deliver(self, topic: str, payload: bytes, is_retained: bool) -> None:
        self._numbers = self._numbers % 60_000 + 1
        body = text(topic) + self._numbers.to_bytes(2, "big") + self._no_properties + payload
        self._send(PUBLISH << 4 | 1 << 1 | int(is_retained), body)

    # -- packets in -----------------------------------------------------------------------------

    def _read_packet(self) -> tuple[int, _Reader]:
        first = self._read(1)[0]
        length = shift = 0
        while True:
            byte = self._read(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                self._packet_bytes = 2 + shift // 7 - 1 + length
                return first, _Reader(self._read(length))

    def _read(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def _take(self, first: int, reader: _Reader) -> bool:
        """Answer one packet; return whether the connection goes on."""
        kind = first >> 4
        if kind == CONNECT:
            return self._connect(reader)
        if kind == SUBSCRIBE:
            self._subscribe(reader)
        elif kind == PUBLISH:
            return self._publish(first, reader)
        elif kind == PINGREQ:
            self._broker.packets.append(("ping",))
            self._send(PINGRESP << 4, b"")
        elif kind == DISCONNECT:
            self._will = None
            self._broker.packets.append(("disconnect",))
            return False
        return True

    def _connect(self, reader: _Reader) -> bool:
        reader.text()
        level, flags, _keepalive = reader.number(1), reader.number(1), reader.number(2)
        self._is_mqtt5 = level == 5
        script = self._broker.script
        if self._is_mqtt5:
            self._broker.connect_properties.append(reader.properties())
        client_id = self.client_id = reader.text()
        self._broker.packets.append(("connect", client_id, level))
        if script.login_code == HANG_UP or (self._is_mqtt5 and not script.speaks_mqtt5):
            return False
        if flags & 0x04:
            if self._is_mqtt5:
                reader.skip_properties()
            qos, is_retained = flags >> 3 & 3, bool(flags & 0x20)
            self._broker.wills.append((qos, is_retained))
            code = self._will_code(qos, is_retained)
            if code:
                self._send(CONNACK << 4, bytes((0, code)) + self._no_properties)
                return False
            will = (reader.text(), reader.binary(), is_retained)
            self._will = None if script.login_code else will
        if script.takes_over:
            self._take_over()
        properties = script.properties() if self._is_mqtt5 else b""
        self._send(CONNACK << 4, bytes((0, script.login_code)) + properties)
        return script.login_code == 0

    def _will_code(self, qos: int, is_retained: bool) -> int:
        script = self._broker.script
        if not self._is_mqtt5:
            return 0
        if is_retained and not script.retain_available:
            return NO_RETAIN
        return NO_QOS if script.maximum_qos is not None and qos > script.maximum_qos else 0

    def _take_over(self) -> None:
        for other in list(self._broker.clients):
            if other is not self and other.client_id == self.client_id:
                other.disconnect(TAKEN_OVER)

    def disconnect(self, code: int) -> bool:
        """Send DISCONNECT with a reason, where the protocol has one, and close."""
        if self._is_mqtt5:
            self._send(DISCONNECT << 4, bytes((code, 0)))
        self.close()
        return False

    def _subscribe(self, reader: _Reader) -> None:
        number = reader.take(2)
        if self._is_mqtt5:
            reader.skip_properties()
        wanted = []
        while reader.is_left:
            wanted.append(reader.text())
            reader.number(1)
        code = self._broker.script.subscribe_code
        with self._broker.lock:
            self._broker.packets.append(("subscribe", tuple(wanted)))
            self._send(SUBACK << 4, number + self._no_properties + bytes([code] * len(wanted)))
            if code < 0x80:
                self.filters += wanted
                for topic, payload in list(self._broker.retained.items()):
                    is_wanted = any(matches(topic, pattern) for pattern in wanted)
                    if is_wanted or self._broker.script.sends_all_retained:
                        self.deliver(topic, payload, is_retained=True)

    def _publish(self, first: int, reader: _Reader) -> bool:
        topic, qos = reader.text(), first >> 1 & 3
        number = reader.take(2) if qos else b""
        if self._is_mqtt5:
            reader.skip_properties()
        payload, retain = reader.rest(), bool(first & 1)
        script = self._broker.script
        codes = [code for end, code in script.publish_codes.items() if topic.endswith(end)]
        code = codes[0] if codes else script.judges(topic, payload)
        with self._broker.lock:
            self._in_flight += qos > 0
            self._broker.most_in_flight = max(self._broker.most_in_flight, self._in_flight)
            broken = self._broken_limit(qos, retain)
            if broken:
                self._broker.violations.append(f"0x{broken:02X}: {topic}, {self._packet_bytes} B")
                return self.disconnect(broken)
            if (script.silent_maximum_packet or 1 << 30) < self._packet_bytes:
                return False
            self._broker.packets.append(("publish", topic, payload, qos, retain))
            if code == HANG_UP:
                return False
            if code == 0:
                self._broker.publish(topic, payload, retain)
            if qos and script.acknowledges and code != NO_ANSWER:
                more = bytes([code, 0]) if self._is_mqtt5 and code else b""
                self._acknowledge(number + more)
        return True

    def _broken_limit(self, qos: int, retain: bool) -> int:
        """Return the reason code of a limit that a publish breaks, 0 if it breaks none."""
        script = self._broker.script
        if not self._is_mqtt5:
            return 0
        if script.receive_maximum is not None and self._in_flight > script.receive_maximum:
            return RECEIVE_EXCEEDED
        if script.maximum_packet is not None and self._packet_bytes > script.maximum_packet:
            return TOO_LARGE
        if script.maximum_qos is not None and qos > script.maximum_qos:
            return NO_QOS
        return NO_RETAIN if retain and not script.retain_available else 0

    def _acknowledge(self, body: bytes) -> None:
        delay_s = self._broker.script.ack_delay_s
        if delay_s:
            timer = threading.Timer(delay_s, self._send_acks, (body,))
            timer.daemon = True
            timer.start()
        else:
            self._send_acks(body)

    def _send_acks(self, body: bytes) -> None:
        with self._broker.lock:
            self._in_flight -= 1
            for _ in range(self._broker.script.ack_copies):
                self._send(PUBACK << 4, body)

    # -- packets out ----------------------------------------------------------------------------

    @property
    def _no_properties(self) -> bytes:
        return b"\0" if self._is_mqtt5 else b""

    def _send(self, first: int, body: bytes) -> None:
        left, length = len(body), bytearray()
        while True:
            left, byte = left >> 7, left & 0x7F
            length.append(byte | (0x80 if left else 0))
            if not left:
                break
        with contextlib.suppress(OSError), self._broker.lock:
            self._sock.sendall(bytes([first]) + bytes(length) + body)


def text(value: str) -> bytes:
    """Return MQTT's form of a text: its length in two bytes, then UTF-8."""
    return len(value.encode()).to_bytes(2, "big") + value.encode()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def is_left(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        return self.binary().decode()

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def skip_properties(self) -> None:
        self.properties()

    def properties(self) -> bytes:
        length = shift = 0
        while True:
            byte = self.number(1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return self.take(length)
