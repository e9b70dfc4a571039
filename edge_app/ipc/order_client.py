"""Gives orders to the inspection process; see `order_schema.py`."""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import ValidationError

from edge_app.errors import ConfigError, OrderError
from edge_app.ipc.order_schema import MAX_ANSWER_BYTES, AnyOrder, OrderAnswer
from edge_app.ipc.unix_socket import connected_to, read_line

ORDERS_SOCKET = "orders.sock"
"""Beside page.sock where the page is a service; else in the state folder."""

SERVICE_FOLDER = Path("/run/cropliq-edge")
"""Where the service listens; one that is started by hand does so in its state folder."""

ANSWER_S = 5.0


def orders_socket(state_dir: Path, page_socket: Path | None) -> Path:
    """Return where inspection listens for orders."""
    folder = state_dir if page_socket is None else page_socket.parent
    return folder / ORDERS_SOCKET


def running_socket(state_dir: Path) -> Path:
    """Return where this device's inspection listens, as a process finds out that was not told."""
    by_hand, service = state_dir / ORDERS_SOCKET, SERVICE_FOLDER / ORDERS_SOCKET
    try:
        is_by_hand = by_hand.exists()
    except OSError:  # a folder that this account may not enter
        is_by_hand = False
    return by_hand if is_by_hand or not service.exists() else service


class OrderClient:
    """Gives orders; one connection each.

    Args:
        path: see `orders_socket`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, order: AnyOrder, timeout_s: float = ANSWER_S) -> OrderAnswer:
        """Return inspection's answer.

        Raises:
            ConfigError: inspection is not there, or this account may not connect.
            OrderError: it did not answer in time, or not in the protocol. Whether the order was
                carried out is unknown; the same order again (same order_id) is safe.
        """
        until_s = time.monotonic() + timeout_s
        try:
            connection = connected_to(self._path)
        except OSError as error:
            raise ConfigError(
                f"Inspection takes no orders on {self._path}: {error.strerror or error}. Start "
                "`edge-app run` (as a service: systemctl start edge-app), and give this order as "
                "root or as the account that inspects."
            ) from error
        try:
            connection.settimeout(timeout_s)
            connection.sendall(order.model_dump_json().encode() + b"\n")
            line = read_line(connection, until_s, MAX_ANSWER_BYTES)
        except OSError as error:
            raise OrderError(
                f"Inspection did not answer within {timeout_s:g} s ({error.strerror or error}): "
                "whether the order was carried out is not known. Look at `edge-app audit list`."
            ) from error
        finally:
            connection.close()
        return _answer_of(line)


def _answer_of(line: bytes) -> OrderAnswer:
    if not line:
        raise OrderError(
            "Inspection closed the connection without an answer: this account may give no orders, "
            "or inspection is stopping. Its journal says which."
        )
    try:
        return OrderAnswer.model_validate_json(line)
    except ValidationError as error:
        raise OrderError("Inspection's answer is not in the protocol of this release.") from error
