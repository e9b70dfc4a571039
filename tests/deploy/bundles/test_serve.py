"""`edge-deploy serve`: what a device may have of a folder, and how."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.brokers import wait_until
from support.deploy_pointers import PAYLOAD, pointer

from deploy.bundles.byte_range import UnsatisfiableRange, parse_range
from deploy.bundles.certificate import make_certificate
from deploy.bundles.serve import BundleServer, tls_context
from edge_app.agent.pull.download import Downloader
from edge_app.agent.pull.download_rules import DownloadRules
from edge_app.errors import ConfigError

HOST = "127.0.0.1"
COMMAND = [str(Path(sys.executable).with_name("edge-deploy")), "serve"]
Get = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.bundle").write_bytes(PAYLOAD)
    (folder / "empty.bundle").touch()
    (folder / "signing.key").write_text("secret")
    (folder / ".hidden.bundle").write_text("secret")
    (folder / "link.bundle").symlink_to(folder / "signing.key")
    (folder / "sub.bundle").mkdir()
    return folder


@pytest.fixture
def get(folder: Path) -> Iterator[Get]:
    """Return a function that asks a plain server on loopback."""
    said: list[str] = []
    with BundleServer(folder, (HOST, 0), log=said.append) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()

        def ask(
            path: str, ranges: str | None = None, method: str = "GET"
        ) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(HOST, server.server_address[1], timeout=5)
            connection.request(method, path, headers={"Range": ranges} if ranges else {})
            answer = connection.getresponse()
            found = answer.status, dict(answer.headers), answer.read()
            connection.close()
            return found

        yield ask
        server.shutdown()
        thread.join()
    wait_until(lambda: bool(said), what="the request is told")


def test_a_bundle_is_served_whole(get: Get) -> None:
    """Status 200, its length, and the offer of ranges."""
    code, headers, body = get("/a.bundle")
    assert (code, body) == (200, PAYLOAD)
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Length"] == str(len(PAYLOAD))


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [("bytes=10-", 10, None), ("bytes=0-0", 0, 1), ("bytes=5-9", 5, 10), ("bytes=-7", -7, None),
     ("bytes=100-99999999", 100, None), (f"bytes=100-{'9' * 5000}", 100, None),
     (f"bytes={'0' * 5000}10-", 10, None)],
)  # fmt: skip
def test_a_range_is_served_as_asked(get: Get, asked: str, first: int, end: int | None) -> None:
    """Status 206 with the range's bytes and place."""
    code, headers, body = get("/a.bundle", asked)
    assert (code, body) == (206, PAYLOAD[first:end])
    begin = first % len(PAYLOAD)
    assert headers["Content-Range"] == f"bytes {begin}-{begin + len(body) - 1}/{len(PAYLOAD)}"


@pytest.mark.parametrize("asked", ["bytes=1048576-", "bytes=99999999-", f"bytes={'9' * 5000}-"])
def test_a_range_behind_the_end_is_unsatisfiable(get: Get, asked: str) -> None:
    """Status 416 with the true length."""
    code, headers, body = get("/a.bundle", asked)
    assert (code, body) == (416, b"")
    assert headers["Content-Range"] == f"bytes */{len(PAYLOAD)}"


@pytest.mark.parametrize(
    "asked", ["bytes=9-5", "bytes=0-1,5-6", "chars=0-5", "bytes=x-", "bytes=-"]
)
def test_what_is_no_single_range_gets_the_whole_file(asked: str) -> None:
    """As RFC 9110 allows."""
    assert parse_range(asked, 100) is None


def test_nothing_of_an_empty_file_can_be_a_range() -> None:
    """Every range of nothing is unsatisfiable."""
    for asked in ("bytes=0-", "bytes=-5"):
        with pytest.raises(UnsatisfiableRange):
            parse_range(asked, 0)


@pytest.mark.parametrize(
    "path",
    ["/", "/signing.key", "/link.bundle", "/.hidden.bundle", "/sub.bundle", "/absent.bundle",
     "/../served/a.bundle", "/%2e%2e/served/a.bundle", "/sub.bundle/../a.bundle",
     "/..%2fserved%2fa.bundle", "/a.bundle%00", "/etc/passwd"],
)  # fmt: skip
def test_nothing_but_bundles_in_the_folder_is_served(get: Get, path: str) -> None:
    """Keys, links, hidden files, folders and ways out of the folder: 404."""
    code, _, body = get(path)
    assert (code, body) == (404, b"")


def test_head_tells_the_length_only(get: Get) -> None:
    """HEAD has GET's headers and no body; an empty file is served too."""
    code, headers, body = get("/a.bundle", method="HEAD")
    assert (code, headers["Content-Length"], body) == (200, str(len(PAYLOAD)), b"")
    assert get("/empty.bundle")[0::2] == (200, b"")


def test_plain_http_is_for_loopback_only(folder: Path) -> None:
    """Without a certificate nobody else is served."""
    with pytest.raises(ConfigError, match=r"plain HTTP on 0\.0\.0\.0 refused"):
        BundleServer(folder, ("0.0.0.0", 0))


def test_a_folder_that_is_none_and_a_port_in_use_are_named(folder: Path) -> None:
    """Both are errors of the command, told in words."""
    with pytest.raises(ConfigError, match="is not a folder"):
        BundleServer(folder / "a.bundle", (HOST, 0))
    with BundleServer(folder, (HOST, 0)) as server:
        port = int(server.server_address[1])
        with pytest.raises(ConfigError, match=f"cannot serve on {HOST} port {port}"):
            BundleServer(folder, (HOST, port))


def test_a_certificate_without_its_key_is_named(folder: Path, tmp_path: Path) -> None:
    """A wrong file is told before anything is served."""
    with pytest.raises(ConfigError, match="cannot be used"):
        tls_context(folder / "a.bundle", tmp_path / "absent.key")


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    """A second certificate needs other files."""
    cert, key = tmp_path / "c.pem", tmp_path / "c.key"
    make_certificate([HOST], cert, key)
    before = key.read_bytes()
    with pytest.raises(ConfigError, match="cannot be created"):
        make_certificate([HOST], cert, key)
    assert key.read_bytes() == before
    assert key.stat().st_mode & 0o777 == 0o600


def test_the_command_makes_a_certificate_and_a_device_fetches_over_it(
    folder: Path, tmp_path: Path
) -> None:
    """serve --new-cert, the certificate as the device's ca_file, a download, a clean end."""
    cert, key = tmp_path / "station.pem", tmp_path / "station.key"
    with subprocess.Popen(
        [*COMMAND, str(folder), "--host", HOST, "--port", "0", "--cert", str(cert), "--key",
         str(key), "--new-cert", f"station.plant,{HOST}"],
        stderr=subprocess.PIPE,
        text=True,
    ) as server:  # fmt: skip
        assert server.stderr is not None
        assert "copy it to the devices" in server.stderr.readline()
        url = server.stderr.readline().split()[-1]
        assert url.startswith(f"https://{HOST}:")
        rules = DownloadRules((HOST,), len(PAYLOAD))
        downloader = Downloader(
            tmp_path / "incoming", rules, ssl.create_default_context(cafile=str(cert))
        )
        wish = pointer(f"{url}a.bundle")
        file = downloader.fetch(wish, "main", threading.Event(), lambda *_: None)
        assert file.read_bytes() == PAYLOAD
        assert "a.bundle: bytes 0-1048576" in server.stderr.readline()
        server.terminate()
        assert server.wait(10) == 0


def test_the_certificate_passes_pythons_strict_check(tmp_path: Path, folder: Path) -> None:
    """What Python 3.13 demands of a certificate by default, on every Python."""
    cert, key = tmp_path / "c.pem", tmp_path / "c.key"
    make_certificate([HOST], cert, key)
    strict = ssl.create_default_context(cafile=str(cert))
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    with BundleServer(folder, (HOST, 0), tls_context(cert, key), log=lambda _: None) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        connection = http.client.HTTPSConnection(HOST, server.server_address[1], context=strict)
        connection.request("HEAD", "/a.bundle")
        assert connection.getresponse().status == 200
        connection.close()
        server.shutdown()
        thread.join()
