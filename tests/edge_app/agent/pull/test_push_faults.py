"""Faults between workstation and device: the old model judges on, and the reason is told.

A real agent and a real inspecting line in this process, a real broker, real servers.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.activation_bundles import golden_files, manifest_of, signer, write_release
from support.agent_and_line import Line, write_config
from support.brokers import HOST, Listener, Mosquitto, wait_until
from support.bundle_tampering import TABLE
from support.deploy_pointers import pointer
from support.faulty_web_server import serving, status, whole
from support.needs import needing
from support.signed_bundles import NO_TERMS, Signer, members_of, signed_tar
from support.small_bundles import bright_files, write_bright_bundle
from support.tampering_target import Victim

from edge_app.agent.main import make_agent
from edge_app.agent.pull.wiring import PushSide, push_side
from edge_app.bundle.signature import SigningTerms
from edge_app.config.load import load_config
from edge_app.host.date_clock import DateClock
from edge_app.mqtt.deploy_messages import Desired, Reported
from edge_app.mqtt.topics import DeviceName, Topics
from edge_app.store.bundle_store import Store

pytestmark = pytest.mark.needs("mosquitto")
WHO = DeviceName("graz", "l2", "d3")
ALL_GOOD = 256.0
DOWNLOAD = f"""
[download]
allowed_hosts = ["{HOST}"]
give_up_after_s = 0.2
"""


def release(folder: Path, serial: int) -> bytes:
    """Return a signed bundle that calls everything good."""
    path = folder / f"alpha-{serial}.bundle"
    return write_release(path, manifest_of("alpha", serial, ALL_GOOD)).read_bytes()


class Plant:
    """A device whose slot has serial 5, and the broker as its workstation sees it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        path = write_config(folder, more=DOWNLOAD)
        path.write_text(path.read_text().replace(
            "[mqtt]\nenabled = false", f'[mqtt]\nhost = "{HOST}"\nport = {port}'))  # fmt: skip
        config = load_config(path)
        self.store = Store(config.agent.store_dir)
        self._stop = threading.Event()
        self.is_synchronised, self.ahead_s = True, 0.0
        clock = DateClock(
            wall_s=lambda: time.time() + self.ahead_s,
            is_synchronised=lambda: self.is_synchronised,
            hold_s=0.0,
        )
        self._agent = make_agent(config, self.store, self._report, self._stop, clock=clock)
        self._push: PushSide = push_side(
            config, self.store, self._agent.install, self._agent.select, clock=clock
        )
        self._push.start()
        self._agent.start()
        self.line = Line(config).start()
        self.station = Listener(port, f"{WHO.root}/#")
        self.payload = release(folder, 5)
        with serving(whole(self.payload)) as server:
            self.wish = pointer(server.url, self.payload)
            self.place(self.wish)
            wait_until(lambda: self.state(self.wish) == "committed", 120, "the first bundle")

    def _report(self, report: Reported) -> None:
        self._push.report(report)

    def stop(self) -> None:
        self.line.stop()
        self._stop.set()
        self._agent.stop()
        self._push.stop()
        self.station.close()

    def place(self, desired: Desired) -> None:
        topic = Topics(WHO).desired("main")
        self.station.publish(topic, desired.payload().decode(), retain=True)

    def state(self, desired: Desired) -> str | None:
        report = self.answer_to(desired)
        return report.state if report else None

    def answer_to(self, desired: Desired) -> Reported | None:
        """Return the last report about a pointer."""
        wish = desired.message_id
        found = [b for b in self.station.bodies("/reported") if b["desired_id"] == wish]
        return Reported.model_validate(found[-1]) if found else None

    def reason(self, desired: Desired) -> str:
        report = self.answer_to(desired)
        return report.reason if report else ""

    def refusal(self, desired: Desired) -> str:
        """Place a pointer and return why it was refused; the line must judge on as before."""
        self.place(desired)
        wait_until(lambda: self.state(desired) == "refused", 20, "refused")
        self.assert_still_judges()
        report = self.answer_to(desired)
        assert report is not None
        return report.reason

    def assert_still_judges(self) -> None:
        """The first bundle is the slot's, nothing is left over, and it judges every part."""
        assert self.store.active("main") == self.wish.sha256
        assert self.store.intent("main") is None
        wait_until(lambda: not list(self.store.incoming.iterdir()), what="nothing left")
        seen = len(self.line.verdicts)
        wait_until(lambda: len(self.line.verdicts) > seen + 2)
        after = self.line.verdicts[seen + 1 :]
        assert {v.model.bundle_sha256 if v.model else None for v in after} == {self.wish.sha256}


@pytest.fixture(scope="module")
@needing("mosquitto")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("plant")
    broker = Mosquitto(folder / "mosquitto").start()
    plant = Plant(folder, broker.port)
    yield plant
    plant.stop()
    broker.stop()


def test_a_download_truncated_for_good(plant: Plant) -> None:
    """The server never sends the second half."""
    new = release(plant.folder, 6)
    with serving(whole(new[: len(new) // 2], total=len(new))) as server:
        assert "without a new byte" in plant.refusal(pointer(server.url, new))


@pytest.mark.parametrize("more", [1, -1])
def test_a_wrong_length(plant: Plant, more: int) -> None:
    """The server's file is one byte longer or shorter than the pointer says."""
    new = release(plant.folder, 6)
    with serving(whole(new, total=len(new) + more)) as server:
        assert "has another length" in plant.refusal(pointer(server.url, new))


def test_a_server_that_is_not_there(plant: Plant) -> None:
    """Nobody listens at the address."""
    new = release(plant.folder, 6)
    with serving(whole(new)) as server:
        url = server.url
    assert "Connection refused" in plant.refusal(pointer(url, new))


def test_a_server_gone_in_the_middle(plant: Plant) -> None:
    """It sends half and never comes back."""
    new = release(plant.folder, 6)
    with serving(whole(new, cut_after=len(new) // 2), status(503)) as server:
        assert "without a new byte" in plant.refusal(pointer(server.url, new))
    assert server.asked[1][1] == f"bytes={len(new) // 2}-"


def test_a_redirect_to_another_host(plant: Plant) -> None:
    """A host that is not on the list, though it is this machine; it is never contacted."""
    new = release(plant.folder, 6)
    with serving(whole(new)) as other:
        away = other.url.replace(HOST, "localhost")
        with serving(status(302, Location=away)) as server:
            assert "Redirect from" in plant.refusal(pointer(server.url, new))
    assert other.asked == []


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/a.bundle", "http://station.plant/a.bundle", "file:///etc/passwd",
     "https://127.0.0.1@evil.example/a.bundle"],
)  # fmt: skip
def test_a_pointer_to_a_forbidden_address(plant: Plant, url: str) -> None:
    """Another host, plain http, another scheme, a look-alike."""
    assert plant.refusal(pointer(url)).startswith("Address ")


def test_a_pointer_to_more_bytes_than_the_device_takes(plant: Plant) -> None:
    """The byte cap of the device's configuration."""
    with serving(whole(b"")) as server:
        why = plant.refusal(pointer(server.url, length=10**12))
    assert "bundle.max_bundle_mb" in why
    assert server.asked == []


def test_a_flipped_byte_on_the_way(plant: Plant) -> None:
    """The file has the right length and another digest."""
    new = release(plant.folder, 6)
    changed = bytes([*new[:5000], new[5000] ^ 1, *new[5001:]])
    with serving(whole(changed)) as server:
        assert "do not have sha256" in plant.refusal(pointer(server.url, new))


def test_a_flipped_byte_that_the_pointer_agrees_with(plant: Plant) -> None:
    """Server and workstation lie together: the signature decides."""
    new = release(plant.folder, 6)
    changed = new.replace(b"cropliq-bundle/1", b"cropliq-bundle/2")
    with serving(whole(changed)) as server:
        assert "changed: manifest.json" in plant.refusal(pointer(server.url, changed))


@pytest.mark.slow
def test_every_tampered_bundle(plant: Plant) -> None:
    """Whatever a stranger does to a signed bundle, pushed with the right length and digest: refused
    with the reason that the verification gives, and the line judges on."""
    victim = Victim(plant.folder, signer(), members_of(plant.folder))
    for attack, (make, told) in TABLE.items():
        altered = make(victim)
        if not altered:  # no pointer can name a file without a byte
            continue
        with serving(whole(altered)) as server:
            why = plant.refusal(pointer(server.url, altered))
        assert re.search(told.replace("line1", "tests"), why), f"{attack}: {why}"


LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("who", "terms", "targets", "told"),
    [
        (Signer("stranger"), NO_TERMS, ("*",), "which is not trusted here"),
        (signer(), SigningTerms(expires_at=LONG_AGO), ("*",), "its signature expired"),
        (signer(), NO_TERMS, ("linz/*/*",), "linz/*/*"),
    ],
    ids=["signed by a stranger", "an expired signature", "meant for another site"],
)
def test_a_bundle_that_may_not_be_used_here(
    plant: Plant, who: Signer, terms: SigningTerms, targets: tuple[str, ...], told: str
) -> None:
    """Whole and signed, but not by or for the right one, or not now."""
    manifest = manifest_of("alpha", 6, ALL_GOOD).model_copy(update={"targets": targets})
    members = members_of(plant.folder, {**bright_files(), **golden_files()}, manifest)
    new = signed_tar(members, who, terms)
    with serving(whole(new)) as server:
        assert told in plant.refusal(pointer(server.url, new))


def test_a_bundle_that_has_expired_by_a_wrong_clock_waits_for_the_right_one(plant: Plant) -> None:
    """A year ahead without a time source: it is not refused, and the reason is told; once the clock
    is set the bundle comes to its trial (which this one does not pass)."""
    terms = SigningTerms(expires_at=datetime.now(timezone.utc) + timedelta(days=30))
    manifest = manifest_of("alpha", 6, ALL_GOOD, golden_shift=9.0)
    files = {**bright_files(), **golden_files()}
    new = signed_tar(members_of(plant.folder, files, manifest), signer(), terms)
    plant.is_synchronised, plant.ahead_s = False, 366 * 86_400.0
    with serving(whole(new)) as server:
        wish = pointer(server.url, new)
        plant.place(wish)
        wait_until(lambda: "waiting for the clock" in plant.reason(wish), 20, "it waits")
        assert "no time source has set this clock" in plant.reason(wish)
        assert plant.state(wish) == "downloading"
        plant.is_synchronised, plant.ahead_s = True, 0.0
        wait_until(lambda: plant.state(wish) == "refused", 30, "its trial")
    assert "expired" not in plant.reason(wish)
    assert "golden" in plant.reason(wish)
    plant.assert_still_judges()


def test_an_unsigned_bundle(plant: Plant) -> None:
    """A pushed bundle that nobody has signed."""
    new = write_bright_bundle(plant.folder / "unsigned.bundle").read_bytes()
    with serving(whole(new)) as server:
        assert "sign" in plant.refusal(pointer(server.url, new))


def test_an_older_serial(plant: Plant) -> None:
    """A bundle that was replaced long ago, under a new pointer."""
    old = release(plant.folder, 4)
    with serving(whole(old)) as server:
        assert "older than serial 5" in plant.refusal(pointer(server.url, old))


def test_a_replayed_pointer(plant: Plant) -> None:
    """The pointer of the bundle in use comes back after another one was refused."""
    with serving(status(404)) as server:
        plant.refusal(pointer(server.url))
    assert "it was replayed" in plant.refusal(plant.wish)


def test_a_full_disk(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for the download: nobody is asked for it."""
    usage = shutil.disk_usage(plant.folder)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    new = release(plant.folder, 6)
    with serving(whole(new)) as server:
        assert "Disk full" in plant.refusal(pointer(server.url, new))
    assert server.asked == []


def test_after_all_of_it_a_good_bundle_is_resumed_over_cuts_and_committed(plant: Plant) -> None:
    """The server hangs up after each third; the line goes over to serial 6 and loses no part."""
    new = release(plant.folder, 6)
    begin = len(plant.line.verdicts)
    with serving(whole(new, cut_after=len(new) // 3 + 1)) as server:
        wish = pointer(server.url, new)
        plant.place(wish)
        wait_until(lambda: plant.state(wish) == "committed", 30, "committed")
    assert len(server.asked) == 3
    wait_until(lambda: plant.line.judges == "alpha 6")
    after = plant.line.verdicts[begin:]
    assert all(verdict.state.value != "NOT_INSPECTED" for verdict in after)
