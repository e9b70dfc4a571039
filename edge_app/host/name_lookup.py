"""Names of machines, looked up with a limit: a dead name server holds up nothing.

The C library asks each name server for 5 s, twice, and cannot be interrupted: the question goes to
a thread of its own, and one that is still open is waited for again instead of being asked anew.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

LOOKUP_S = 5.0
"""A name server answers within milliseconds, or asks others for a second or two."""

OWN_NAME_S = 1.0
"""For this machine's own name, at the start."""

_lock = threading.Lock()
_open: dict[str, Future[Any]] = {}


def addresses_of(host: str, port: int, limit_s: float = LOOKUP_S) -> list[tuple[str, int]]:
    """Return where a host is reached, best first; a written address is not looked up.

    Raises:
        OSError: there is no such name (socket.gaierror), or no name server answered in time
            (TimeoutError).
    """
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        found = _ask(host, limit_s, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        names = dict.fromkeys(str(entry[4][0]) for entry in found)
        return [(name, port) for name in names]
    return [(host, port)]


def own_name(limit_s: float = OWN_NAME_S) -> tuple[str, bool]:
    """Return this machine's full name, and whether the name servers were heard.

    The name that the machine has by itself where none answers in time.
    """
    try:
        return _ask("", limit_s, socket.getfqdn), True
    except OSError:
        return socket.gethostname(), False


def _ask(host: str, limit_s: float, question: Callable[[], Any]) -> Any:
    with _lock:
        answer = _open.get(host)
        if answer is None:
            answer = _open[host] = Future()
            threading.Thread(
                target=_answer, args=(host, question, answer), name="name-lookup", daemon=True
            ).start()
    try:
        return answer.result(limit_s)
    except (TimeoutError, FutureTimeout) as error:
        if answer.done():
            raise
        raise TimeoutError(
            f"no name server has answered within {limit_s:g} s where {host!r} is"
        ) from error


def _answer(host: str, question: Callable[[], Any], answer: Future[Any]) -> None:
    try:
        result = question()
    except Exception as error:  # UnicodeError for names that cannot be asked for
        fault = error if isinstance(error, OSError) else OSError(f"{host!r} is no name: {error}")
        _close(host)
        answer.set_exception(fault)
    else:
        _close(host)
        answer.set_result(result)


def _close(host: str) -> None:
    with _lock:
        _open.pop(host, None)
