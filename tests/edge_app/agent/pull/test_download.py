"""Downloads against real servers on loopback: faults of the network, the server and the disk."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.certificate_authority import make_authority, make_certificate
from support.deploy_pointers import PAYLOAD, pointer
from support.faulty_web_server import FaultyServer, serving, status, whole, without_ranges

from edge_app.agent.pull.download import Downloader
from edge_app.agent.pull.download_rules import DownloadRules
from edge_app.errors import DownloadCancelled, DownloadError
from edge_app.mqtt.deploy_messages import Desired

RULES = DownloadRules(
    allowed_hosts=("127.0.0.1",),
    max_bytes=len(PAYLOAD),
    timeout_s=5.0,
    give_up_after_s=20.0,
    retry_min_s=0.01,
    retry_max_s=0.05,
)
HALF = len(PAYLOAD) // 2


class Fetcher:
    """A downloader into an empty folder; `told` lists what it said on the way."""

    def __init__(self, folder: Path, rules: DownloadRules, tls: ssl.SSLContext | None) -> None:
        self.incoming = folder / "incoming"
        self.told: list[tuple[float, str]] = []
        self.cancel = threading.Event()
        self._downloader = Downloader(self.incoming, rules, tls)

    def __call__(self, desired: Desired) -> Path:
        return self._downloader.fetch(
            desired, "main", self.cancel, lambda percent, why: self.told.append((percent, why))
        )

    @property
    def left(self) -> list[str]:
        """Names of what lies in the folder."""
        return sorted(p.name for p in self.incoming.iterdir()) if self.incoming.exists() else []

    def refusal(self, desired: Desired) -> str:
        """Return why a fetch is refused; nothing of it may be left."""
        with pytest.raises(DownloadError) as error:
            self(desired)
        assert self.left == []
        return str(error.value)


@pytest.fixture
def fetcher(tmp_path: Path) -> Callable[..., Fetcher]:
    """Return a function that makes a fetcher with changed rules."""

    def make(tls: ssl.SSLContext | None = None, **rules: object) -> Fetcher:
        return Fetcher(tmp_path, replace(RULES, **rules), tls)  # type: ignore[arg-type]

    return make


def test_a_bundle_is_fetched_to_the_byte(fetcher: Callable[..., Fetcher]) -> None:
    """The file has the pointer's digest as its name and its bytes as its content."""
    with serving(whole(PAYLOAD)) as server:
        fetch, desired = fetcher(), pointer(server.url)
        file = fetch(desired)
    assert file.read_bytes() == PAYLOAD
    assert fetch.left == [f"main-{desired.sha256}.bundle"]
    assert fetch.told[-1] == (100.0, "")


def test_a_truncated_download_goes_on_where_it_was_cut(fetcher: Callable[..., Fetcher]) -> None:
    """After a cut only the missing bytes are asked for, and the cut is told."""
    with serving(whole(PAYLOAD, cut_after=HALF), whole(PAYLOAD)) as server:
        fetch = fetcher()
        assert fetch(pointer(server.url)).read_bytes() == PAYLOAD
    assert [ranges for _, ranges in server.asked] == [None, f"bytes={HALF}-"]
    assert (50.0, f"trying again: cut off at {HALF} of {len(PAYLOAD)} bytes") in fetch.told


def test_a_server_that_cuts_every_answer_is_resumed_until_all_is_here(
    fetcher: Callable[..., Fetcher],
) -> None:
    """Ten cuts, ten resumed requests, one whole file."""
    with serving(whole(PAYLOAD, cut_after=len(PAYLOAD) // 10 + 1)) as server:
        assert fetcher()(pointer(server.url)).read_bytes() == PAYLOAD
    assert len(server.asked) == 10


def test_a_download_truncated_for_good_is_given_up(fetcher: Callable[..., Fetcher]) -> None:
    """A server that never sends the second half is left after the time without a new byte."""
    with serving(whole(PAYLOAD[:HALF], total=len(PAYLOAD))) as server:
        why = fetcher(give_up_after_s=0.1).refusal(pointer(server.url))
    assert why.startswith("Bundle given up after 0 s without a new byte, at 524288 of 1048576")


def test_a_server_gone_in_the_middle_is_waited_for_and_resumed(
    fetcher: Callable[..., Fetcher],
) -> None:
    """The server stops after half and comes back on its port: nothing is fetched twice."""
    fetch = fetcher(give_up_after_s=20.0)
    result: list[Path] = []
    with serving(whole(PAYLOAD, cut_after=HALF), status(503)) as server:
        desired, port = pointer(server.url), server.server_address[1]
        thread = threading.Thread(target=lambda: result.append(fetch(desired)))
        thread.start()
        wait_for_words(fetch, "trying again: cut off")
    wait_for_words(fetch, "Connection refused")
    with serving(whole(PAYLOAD), port=port) as again:
        thread.join(20)
    assert result[0].read_bytes() == PAYLOAD
    assert [ranges for _, ranges in again.asked] == [f"bytes={HALF}-"]


def wait_for_words(fetch: Fetcher, words: str) -> None:
    end = threading.Event()
    for _ in range(1000):
        if any(words in why for _, why in fetch.told):
            return
        end.wait(0.01)
    raise AssertionError(f"{words!r} was not told: {fetch.told[-3:]}")


def test_a_restart_of_the_agent_resumes_what_had_arrived(
    fetcher: Callable[..., Fetcher],
) -> None:
    """A cancelled download leaves its bytes; another process asks for the rest only."""
    with serving(whole(PAYLOAD, cut_after=HALF), whole(PAYLOAD)) as server:
        desired = pointer(server.url)
        first = fetcher()
        first.told = CancelAt(first)
        with pytest.raises(DownloadCancelled):
            first(desired)
        assert first.left == [f"main-{desired.sha256}.partial"]
        assert fetcher()(desired).read_bytes() == PAYLOAD
    assert server.asked[-1][1] is not None


class CancelAt(list[tuple[float, str]]):
    """Cancels at the first word that something is tried again."""

    def __init__(self, fetch: Fetcher) -> None:
        self._fetch = fetch

    def append(self, told: tuple[float, str]) -> None:
        if told[1]:
            self._fetch.cancel.set()


def test_a_server_without_ranges_is_read_from_the_start(fetcher: Callable[..., Fetcher]) -> None:
    """A resumed request answered with the whole file replaces what had arrived."""
    with serving(whole(PAYLOAD, cut_after=HALF), without_ranges(PAYLOAD)) as server:
        assert fetcher()(pointer(server.url)).read_bytes() == PAYLOAD


def test_a_busy_server_is_asked_again(fetcher: Callable[..., Fetcher]) -> None:
    """503 and 429 pass; the bundle arrives afterwards."""
    with serving(status(503), status(429), whole(PAYLOAD)) as server:
        assert fetcher()(pointer(server.url)).read_bytes() == PAYLOAD


def test_a_damaged_remainder_from_earlier_is_fetched_anew(fetcher: Callable[..., Fetcher]) -> None:
    """Bytes that a power cut spoiled cost one more download, not the bundle."""
    with serving(whole(PAYLOAD)) as server:
        fetch, desired = fetcher(), pointer(server.url)
        fetch.incoming.mkdir()
        (fetch.incoming / f"main-{desired.sha256}.partial").write_bytes(bytes(HALF))
        assert fetch(desired).read_bytes() == PAYLOAD
    assert [ranges for _, ranges in server.asked] == [f"bytes={HALF}-", None]


@pytest.mark.parametrize("total", [len(PAYLOAD) - 1, len(PAYLOAD) + 1, HALF])
def test_a_wrong_length_is_refused(fetcher: Callable[..., Fetcher], total: int) -> None:
    """A file that is longer or shorter than the pointer says is not fetched at all."""
    with serving(whole(PAYLOAD[:total], total=total)) as server:
        why = fetcher().refusal(pointer(server.url))
    assert f"expected {len(PAYLOAD)} bytes as the pointer says, got {total} bytes" in why


def test_a_body_longer_than_announced_is_not_read(fetcher: Callable[..., Fetcher]) -> None:
    """Bytes behind the announced length never reach the disk."""
    with serving(whole(PAYLOAD + PAYLOAD, total=len(PAYLOAD))) as server:
        assert fetcher()(pointer(server.url)).read_bytes() == PAYLOAD


def test_an_answer_without_a_length_is_refused(fetcher: Callable[..., Fetcher]) -> None:
    """A body of unknown length could be endless."""
    with serving(lambda handler: handler.head(200)) as server:
        assert "got no length" in fetcher().refusal(pointer(server.url))


def test_changed_bytes_are_refused(fetcher: Callable[..., Fetcher]) -> None:
    """The right length with one flipped byte is refused by its digest."""
    changed = bytes([PAYLOAD[0] ^ 1]) + PAYLOAD[1:]
    with serving(whole(changed)) as server:
        assert "do not have sha256" in fetcher().refusal(pointer(server.url))


def test_the_byte_cap_refuses_before_anything_is_fetched(
    fetcher: Callable[..., Fetcher],
) -> None:
    """A pointer that names more bytes than the device takes contacts nobody."""
    with serving(whole(PAYLOAD)) as server:
        why = fetcher(max_bytes=1000).refusal(pointer(server.url))
    assert why.startswith("Bundle of 1048576 bytes refused: this device takes at most 1000")
    assert server.asked == []


def test_a_redirect_to_another_host_is_not_followed(fetcher: Callable[..., Fetcher]) -> None:
    """The other host, even on the same machine, is never contacted."""
    with serving(whole(PAYLOAD)) as other:
        port = other.server_address[1]
        with serving(status(302, Location=f"http://localhost:{port}/a.bundle")) as server:
            why = fetcher().refusal(pointer(server.url))
    assert why.startswith("Redirect from ")
    assert "this device fetches from 127.0.0.1 only" in why
    assert other.asked == []


def test_a_redirect_to_plain_http_beyond_loopback_is_not_followed(
    fetcher: Callable[..., Fetcher],
) -> None:
    """An allowed host does not make an unencrypted redirect acceptable."""
    with serving(status(301, Location="http://station.plant/a.bundle")) as server:
        why = fetcher(allowed_hosts=("127.0.0.1", "station.plant")).refusal(pointer(server.url))
    assert "expected https" in why


def test_a_redirect_within_the_list_is_followed(fetcher: Callable[..., Fetcher]) -> None:
    """Another path or port of an allowed host is fine."""
    with (
        serving(whole(PAYLOAD)) as other,
        serving(status(307, Location=other.url)) as server,
    ):
        assert fetcher()(pointer(server.url)).read_bytes() == PAYLOAD


def test_redirects_in_a_circle_end(fetcher: Callable[..., Fetcher]) -> None:
    """A server that redirects to itself is asked six times and refused."""
    with serving(status(302, Location="/again.bundle")) as server:
        assert "redirects more than 5 times" in fetcher().refusal(pointer(server.url))
    assert len(server.asked) == 6


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_a_refusal_by_the_server_is_final(fetcher: Callable[..., Fetcher], code: int) -> None:
    """What a person has to mend is told at once, not tried again."""
    with serving(status(code)) as server:
        assert f"answers with status {code}" in fetcher().refusal(pointer(server.url))
    assert len(server.asked) == 1


def test_too_little_room_is_refused_before_anything_is_fetched(
    fetcher: Callable[..., Fetcher],
) -> None:
    """What must stay free on the disk counts; the server is not asked."""
    with serving(whole(PAYLOAD)) as server:
        assert fetcher(min_free_bytes=1 << 60).refusal(pointer(server.url)).startswith("Disk full")
    assert server.asked == []


@pytest.mark.needs("openssl")
def test_a_server_over_tls_needs_a_certificate_that_the_device_trusts(
    fetcher: Callable[..., Fetcher], tmp_path: Path
) -> None:
    """With the authority named the bundle arrives; without it nothing is asked for."""
    authority = make_authority(tmp_path)
    own = make_certificate(tmp_path, authority, "station")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    with FaultyServer(whole(PAYLOAD)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        desired = pointer(server.url.replace("http:", "https:"))
        why = fetcher().refusal(desired)
        trusting = ssl.create_default_context(cafile=str(authority.cert))
        assert fetcher(trusting)(desired).read_bytes() == PAYLOAD
        server.shutdown()
        thread.join()
    assert why.startswith("Server not trusted: ")
    assert "ca_file" in why
    assert len(server.asked) == 1


def test_a_servers_words_are_passed_on_short_and_plain(fetcher: Callable[..., Fetcher]) -> None:
    """Sixty kilobytes with a terminal's control marks where a status belongs: what is told of it is
    short and changes no screen."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"\x1b[2Jowned" + b"x" * 60_000 + b"\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        why = fetcher(give_up_after_s=0.0).refusal(pointer(f"http://127.0.0.1:{port}/a.bundle"))
        thread.join()
    assert "?[2Jowned" in why
    assert why.isprintable()
    assert len(why) < 500
