"""An MQTT broker inside the process, on loopback: for `edge-app demo` and for trying things out.

amqtt is pure Python and speaks MQTT 3.1.1 only. It keeps nothing on disk: do not use it in a
factory."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING

from edge_app.errors import BrokerError, ConfigError

if TYPE_CHECKING:
    from amqtt.broker import Broker

START_TIMEOUT_S = 10.0
"""Importing amqtt and opening a port takes half a second on a slow machine."""
HOST = "127.0.0.1"

_log = logging.getLogger(__name__)


class EmbeddedBroker:
    """A broker in its own thread with its own event loop; use it as a context manager.

    Args:
        port: TCP port on 127.0.0.1; 0: any free one.

    Attributes:
        port: the port it listens on.

    Raises:
        BrokerError: amqtt is not installed, or the port cannot be opened.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port or _free_port()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._is_ready = threading.Event()
        self._failure: Exception | None = None
        self._broker: Broker | None = None
        self._thread = threading.Thread(target=self._run, name="demo-broker", daemon=True)

    def __enter__(self) -> EmbeddedBroker:
        self._thread.start()
        if not self._is_ready.wait(START_TIMEOUT_S):
            raise BrokerError(f"the embedded broker did not start within {START_TIMEOUT_S:.0f} s")
        if isinstance(self._failure, ImportError):
            raise ConfigError(
                f"the embedded broker needs amqtt ({self._failure}): install the extra with "
                "pip install 'cropliq-edge[demo]', or give the address of a real broker"
            ) from self._failure
        if self._failure is not None:
            raise BrokerError(
                f"the embedded broker cannot listen on {HOST}:{self.port}: {self._failure}; "
                "choose another port, or 0 for any"
            ) from self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(START_TIMEOUT_S)

    def has_subscribers(self, topic: str, clients: Collection[str]) -> bool:
        """Tell whether these clients have subscribed to a topic filter by now."""
        found = self._broker.subscriptions.get(topic, ()) if self._broker else ()
        return set(clients) <= {session.client_id for session, _ in list(found)}

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._failure = error
        finally:
            self._is_ready.set()

    async def _serve(self) -> None:
        from amqtt.broker import Broker

        # amqtt logs every client that disconnects as an error
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(_note)
        broker = self._broker = Broker(_configuration(self.port))
        await broker.start()
        self._is_ready.set()
        await self._end.wait()
        await broker.shutdown()


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log exceptions that amqtt does not catch, e.g. when a client disconnects while refused."""
    _log.debug("amqtt: %s", context.get("exception") or context.get("message"))


def _configuration(port: int) -> dict[str, object]:
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
        "plugins": {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
        },
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
