"""`edge-deploy serve`: a folder's bundles over HTTPS, with ranges; no other file is served."""

from __future__ import annotations

import re
import socket
import ssl
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from deploy.bundles.byte_range import UnsatisfiableRange, parse_range
from edge_app.config.model import is_loopback
from edge_app.errors import ConfigError
from edge_app.host.small_file import plain_file

DEFAULT_PORT = 8443
IDLE_TIMEOUT_S = 30.0
"""A device that reads no byte for so long has gone; it requests the rest later."""
CHUNK_BYTES = 1 << 16
BUNDLE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.bundle")
"""Names that may be requested. Keys and reports in the same folder stay private."""


def tls_context(cert: Path, key: Path | None) -> ssl.SSLContext:
    """Return a server's TLS context.

    Args:
        key: None if the certificate's file holds it too.

    Raises:
        ConfigError: the two cannot be read or do not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(plain_file(cert), None if key is None else plain_file(key))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"certificate {cert} with key {key} cannot be used: {error}") from error
    return context


class BundleServer(ThreadingHTTPServer):
    """Serves the `*.bundle` files in a folder, not those in its subfolders.

    Args:
        address: host and port; port 0 selects a free one.
        tls: None serves plain HTTP, on loopback only.
        log: gets one line per response.

    Raises:
        ConfigError: plain HTTP beyond loopback, no such folder, or the port is in use.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        folder: Path,
        address: tuple[str, int],
        tls: ssl.SSLContext | None = None,
        log: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        if tls is None and not is_loopback(address[0]):
            raise ConfigError(
                f"plain HTTP on {address[0]} refused: devices fetch over HTTPS. Give --cert and "
                "--key, or --new-cert, or serve on --host 127.0.0.1"
            )
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder; expected one with *.bundle files")
        self.folder = folder
        self.log = log
        self._tls = tls
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise ConfigError(
                f"cannot serve on {address[0]} port {address[1]}: {error.strerror or error}"
            ) from error

    @property
    def url(self) -> str:
        """The address of the folder, with a slash at the end."""
        host, port = self.server_address[:2]
        text = host.decode() if isinstance(host, bytes | bytearray) else str(host)
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{f'[{text}]' if ':' in text else text}:{port}/"

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one device in its own thread: a slow handshake delays nobody else."""
        request.settimeout(IDLE_TIMEOUT_S)
        if self._tls is not None:
            request = self._tls.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log in one line why a connection ended early."""
        self.log(f"{client_address[0]} ended: {sys.exc_info()[1]}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "edge-deploy"
    sys_version = ""
    server: BundleServer

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        path = self._bundle_path()
        if path is None:
            self._refuse(HTTPStatus.NOT_FOUND, {})
            return
        try:
            file = path.open("rb")
        except OSError:
            self._refuse(HTTPStatus.NOT_FOUND, {})
            return
        with file:
            self._send_file(file, path, with_body)

    def _bundle_path(self) -> Path | None:
        """Return the requested file, None if there is none that may be served."""
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        path = self.server.folder / name
        if not BUNDLE_NAME.fullmatch(name) or path.is_symlink() or not path.is_file():
            return None
        return path

    def _send_file(self, file: BinaryIO, path: Path, with_body: bool) -> None:
        found = path.stat()
        try:
            wanted = parse_range(self.headers.get("Range"), found.st_size)
        except UnsatisfiableRange:
            self._refuse(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                {"Content-Range": f"bytes */{found.st_size}"},
            )
            return
        first, last = wanted or (0, found.st_size - 1)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{found.st_size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/x-tar")
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("ETag", f'"{found.st_mtime_ns:x}-{found.st_size:x}"')
        self.send_header("Last-Modified", formatdate(found.st_mtime, usegmt=True))
        self.end_headers()
        if with_body:
            self._send_bytes(file, path.name, first, last + 1)

    def _send_bytes(self, file: BinaryIO, name: str, first: int, end: int) -> None:
        begin_s, position = time.monotonic(), first
        file.seek(first)
        try:
            while position < end and (chunk := file.read(min(CHUNK_BYTES, end - position))):
                self.wfile.write(chunk)
                position += len(chunk)
        except OSError as error:
            self.close_connection = True
            self._log(f"{name}: cut off at byte {position} of {end}: {error}")
            return
        self._log(f"{name}: bytes {first}-{position} in {time.monotonic() - begin_s:.1f} s")
        self.close_connection = self.close_connection or position < end

    def _refuse(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self._log(f"{self.command} {self.path[:200]!r}: {status.value} {status.phrase}")

    def _log(self, text: str) -> None:
        self.server.log(f"{self.client_address[0]} {text}")

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing here: `_log` has one line per response."""
