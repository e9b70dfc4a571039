"""Brokers on loopback, as many as are asked for: each line on stdin starts a new one and is
answered with its port. In a process of its own, because amqtt leaves sockets to the collector.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

from edge_app.demo.broker import EmbeddedBroker


def main() -> None:
    """Answer until stdin ends."""
    with ExitStack() as brokers:
        for _ in iter(sys.stdin.readline, ""):
            print(brokers.enter_context(EmbeddedBroker()).port, flush=True)


if __name__ == "__main__":
    main()
