"""A password in a camera's address is in nothing that is written, sent, shown or logged."""

from __future__ import annotations

import json
import logging
import pickle
import re
import subprocess
import time
import traceback
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from support.app_config import EDGE_APP, running, write_config
from support.brokers import Listener, Mosquitto, free_port, wait_until
from support.kept_parsers import kept_parsers
from support.secret_forms import CANARY, secret_addresses

import calibration.cli.main
import deploy.cli.main
import edge_app.cli.main
from edge_app.cameras.registry import FAMILIES, open_camera
from edge_app.cameras.rtsp import with_quoted_login
from edge_app.config.load import load_config
from edge_app.errors import CameraUnavailable, ConfigError, EdgeError
from edge_app.host.logging_setup import MaskedFormatter
from edge_app.secret_text import LOCAL_SCHEMES, learn, mask, shown_address

ADDRESSES = secret_addresses()
SHIPPED = Path(edge_app.__file__).parent / "assets" / "demo-tapered.bundle"
SLOW_TO_FAIL = ("rtsp", "gstreamer", "video")
"""Sources that are opened first, for seconds; `camera test` above says the same of them."""
LOGGED_IN = ("rtsp", "rtsps", "gstreamer")


def openable() -> list[str]:
    """Return the addresses that a configuration takes."""
    found = []
    for address in ADDRESSES:
        try:
            open_camera(address, "cam")
        except EdgeError:
            continue
        found.append(address)
    return found


def test_there_are_many_forms() -> None:
    """More than the 40 asked for, and enough of them are cameras that can be configured."""
    assert len(set(ADDRESSES)) >= 100
    assert len(openable()) >= 30


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("template")
    text = write_config(folder, {"cam1": "x"}, 1883).read_text()
    return text.replace('"a.bundle"', f'"{folder}/a.bundle"')


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_form_is_shown(
    address: str, template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parsed, refused, described, raised, pickled, logged with its cause, printed by commands."""
    assert CANARY not in shown_address(address)
    said = []
    try:
        said.append(open_camera(address, "cam1").describe().url)
    except EdgeError as error:
        said += [str(error), repr(error), repr(pickle.loads(pickle.dumps(error)))]
        said.append(mask("".join(traceback.format_exception(error))))
    try:
        raise CameraUnavailable(f"{address} went") from OSError(5, "no answer", address)
    except CameraUnavailable as error:
        said += [str(error), repr(error)]
        record = logging.LogRecord(
            "x", logging.ERROR, "x.py", 1, "%s and %r", (address, address),
            (type(error), error, error.__traceback__),
        )  # fmt: skip
        said.append(MaskedFormatter("%(message)s").format(record))
    toml = json.dumps(address, ensure_ascii=False)
    config = tmp_path / "edge-app.toml"
    config.write_text(template.replace('"x"', toml))
    run = edge_app.cli.main.main
    with kept_parsers():
        run(["check-config", str(config)])
        if ADDRESSES.index(address) % 8 == 0:  # it starts a process
            run(["camera", "test", address, "--seconds", "0.1", "--json"])
        for words in (["camera", "test", address, "--nonsense"], ["camera", address]):
            with pytest.raises(SystemExit):
                run(words)
        for line in (f"camera = {toml}", f"[page]\nport = {toml}", f"[[camera]]\nurl = [{toml}]"):
            config.write_text(line)
            run(["check-config", str(config)])
    for text in (*said, *capsys.readouterr()):
        assert CANARY not in text, text


@pytest.mark.needs("mosquitto")
def test_a_running_device_tells_no_password(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A third of what can be configured at once: log, topics, page, processes, files, doctor."""
    cameras = {f"cam{n}": a.replace("\\", "\\\\") for n, a in enumerate(openable()[::3])}
    listener = Listener(mosquitto.port)
    config = write_config(tmp_path, cameras, mosquitto.port)
    titles = ""
    with running(config) as process:
        wait_until(lambda: len(listener.bodies("/info")) > 0, 60)
        end_s = time.monotonic() + 8
        while time.monotonic() < end_s:
            titles += process_titles(process.pid)
            time.sleep(0.2)
        process.terminate()
        out, err = process.communicate(timeout=30)
    told = json.dumps(listener.messages, ensure_ascii=False)
    listener.close()
    assert len(listener.bodies("/info")[0]["cameras"]) == len(cameras)
    assert "127.0.0.1:1" in told
    for text in (out, err, told, titles):
        assert CANARY not in text, around(text)
    kept = {
        str(p) for p in (tmp_path / "state").rglob("*")
        if p.is_file() and CANARY.encode() in p.read_bytes()
    }  # fmt: skip
    assert kept == {str(tmp_path / "state" / "last-good-config.json")}  # the configuration itself
    assert Path(kept.pop()).stat().st_mode & 0o077 == 0
    done = subprocess.run(
        [EDGE_APP, "doctor", "--config", str(config), "--json"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert len(json.loads(done.stdout)) > len(cameras)
    assert CANARY not in done.stdout + done.stderr, around(done.stdout + done.stderr)


def test_the_page_tells_no_password(tmp_path: Path) -> None:
    """Whatever it is asked for, and whatever somebody tries; some cameras of each kind."""
    cameras = {f"cam{n}": a.replace("\\", "\\\\") for n, a in enumerate(openable()[::12])}
    config, page = write_config(tmp_path, cameras, 1), free_port()
    text = config.read_text()
    config.write_text(text.replace("[page]\nenabled = false", f"[page]\nport = {page}"))
    with running(config) as process:
        wait_until(lambda: "cannot be opened" in page_answer(page, "/api/state"), 90, "the page")
        state = page_answer(page, "/api/state")
        answers = "".join(page_answer(page, path) for path in asked_of_the_page(cameras))
        process.terminate()
        out, err = process.communicate(timeout=30)
    assert [camera for camera in cameras if f'"{camera}"' not in state] == []
    assert answers.count("content-type") + answers.count("Content-Type") >= 12
    for told in (state, answers, out, err):
        assert CANARY not in told, around(told)


def asked_of_the_page(cameras: dict[str, str]) -> list[str]:
    """Return what a browser asks for, and what somebody may try."""
    names = [quote(name, safe="") for name in (*list(cameras)[:3], "nosuch")]
    return [
        "/", "/api/state", "/api/alerts", "/api/slots", "/healthz", "/nosuch", "/?token=x",
        "/evidence/2026-11-30/x.jpg", "/evidence/../last-good-config.json",
        "/evidence/%2e%2e/last-good-config.json", "/static/../../state/last-good-config.json",
        *(f"/frame/{name}.jpg" for name in names), "/stream/nosuch.mjpeg",
    ]  # fmt: skip


def page_answer(port: int, path: str) -> str:
    """Return an answer's head and body, whatever its status; "" if there is no answer."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return f"{answer.headers}{answer.read().decode('latin-1')}"
    except HTTPError as error:
        return f"{error.headers}{error.read().decode('latin-1')}"
    except (URLError, OSError):
        return ""


def test_a_bundle_and_its_report_tell_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a new limit, then signed with a key behind a passphrase: no member, report, key file or
    output holds that; nor what is said of a source of good parts with a password."""
    monkeypatch.setenv("CROPLIQ_KEY_PASSPHRASE", CANARY)
    new, signed, keys = tmp_path / "new.bundle", tmp_path / "signed.bundle", tmp_path / "keys"
    calibrate, deploy_main = calibration.cli.main.main, deploy.cli.main.main
    shipped = str(SHIPPED)
    assert calibrate(["thresholds", shipped, "--rate", "0.02", "--out", str(new)]) == 0
    assert deploy_main(["keygen", "--out", str(keys), "--name", "anna"]) == 0
    key = str(keys / "anna.key")
    assert deploy_main(["sign", str(new), "--key", key, "--out", str(signed)]) == 0
    assert edge_app.cli.main.main(
        ["report", "--bundle", str(signed), "--out", str(tmp_path / "report.html")]
    ) == 0  # fmt: skip
    for address in [a for a in ADDRESSES if not a.lower().startswith(SLOW_TO_FAIL)][::3]:
        assert calibrate(["thresholds", shipped, "--from", address, "--dry-run"]) == 2
    assert len((tmp_path / "report.html").read_bytes()) > 10_000
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) >= 5
    assert [p.name for p in written if CANARY.encode() in p.read_bytes()] == []
    told = capsys.readouterr()
    assert CANARY not in told.out + told.err, around(told.out + told.err)


def process_titles(pid: int) -> str:
    """Return the command lines of a process and of its children."""
    found = ""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if str(pid) in (parent, folder.name):
                found += (folder / "cmdline").read_text(errors="replace")
        except OSError:
            continue
    return found


def around(text: str) -> str:
    """Return what stands before and behind the first hit."""
    at = text.find(CANARY)
    return text[max(0, at - 200) : at + 100]


def test_a_command_line_hides_its_password(tmp_path: Path) -> None:
    """`ps` shows x in its place as soon as the command runs."""
    address = f"rtsp://anna:{CANARY}@127.0.0.1:{free_port()}/s"
    process = subprocess.Popen(
        [EDGE_APP, "camera", "test", address, "--seconds", "20"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    cmdline = Path(f"/proc/{process.pid}/cmdline")
    try:
        wait_until(lambda: b"camera" in cmdline.read_bytes() and b"xxxx" in cmdline.read_bytes())
        assert CANARY.encode() not in cmdline.read_bytes()
    finally:
        process.kill()
        process.wait()


def test_what_is_no_secret_is_shown() -> None:
    """Host, path, ports, plain options and file names stay readable."""
    for address in (
        "rtsp://10.0.0.7:554/stream/1?channel=1&subtype=0#transport=udp",
        "folder:/srv/pictures @home/a=b?loop=1",
        "gstreamer:v4l2src device=/dev/video0 ! video/x-raw,width=1280,height=720",
        "basler:24411234?exposure_us=5000&trigger=Line1",
        "rtsp://[::1]:554/s",
    ):
        assert shown_address(address) == address
    shown = shown_address("rtsp://anna:x@10.0.0.7/s?channel=2&user=anna&password=y")
    assert shown == "rtsp://10.0.0.7/s?channel=2&user=***&password=***"


def test_every_scheme_is_known_to_be_with_or_without_a_login() -> None:
    """A new kind of camera has to be put on one side."""
    schemes = {family.scheme for family in FAMILIES}
    assert schemes - set(LOGGED_IN) == LOCAL_SCHEMES


def test_texts_without_secrets_stay_as_they_are() -> None:
    """Sentences about passwords are none; a common word is not hidden wherever it stands."""
    learn("rtsp://anna:secret@h/s")
    learn(f"rtsp://10.0.0.9:554/s?password=x@{CANARY}")
    learn(f"rtsp://10.0.0.9:554/password=x@{CANARY}")
    for text in (
        "camera at 10.0.0.9:554 answers",
        "Check username, password_file and the client certificate.",
        "the secret file is empty; token_file = '/etc/x/token' has 3 characters",
        "http://10.0.0.5:8080/evidence/2026-11-29/cam1-7.jpg",
        "user=anna is unknown", "Authorization: Bearer TOKEN",
    ):  # fmt: skip
        assert mask(text) == text


def test_a_password_with_any_sign_can_be_used() -> None:
    """Where the login can only be meant, it is percent-encoded for the driver; else left alone."""
    assert with_quoted_login("rtsp://anna:se/cret@h/s") == "rtsp://anna:se%2Fcret@h/s"
    assert with_quoted_login("rtsp://a:x#y?z@h/s#transport=udp") == (
        "rtsp://a:x%23y%3Fz@h/s#transport=udp"
    )
    for address in (
        "rtsp://h/s?mail=a@b", "rtsp://h:554/s@1", "rtsp://anna:a%2Fb@h/s", "rtsp://[::1]/a@b",
    ):  # fmt: skip
        assert with_quoted_login(address) == address


def test_addresses_that_are_sent_or_printed_hold_no_login(tmp_path: Path) -> None:
    """The broker's host and the evidence address are refused with one, without repeating it."""
    config = write_config(tmp_path, "folder:in", 1883, more="")
    text = config.read_text()
    for old, new, said in (
        ('host = "127.0.0.1"', f'host = "mqtt://anna:{CANARY}@h"', "is not a host"),
        ("[outbox]", f'[evidence]\nbase_url = "http://anna:{CANARY}@h"\n[outbox]', "login"),
        ("[outbox]", f'[evidence]\nbase_url = "http://h/?token={CANARY}"\n[outbox]', "login"),
    ):
        config.write_text(text.replace(old, new))
        with pytest.raises(ConfigError, match=said) as refused:
            load_config(config)
        assert not re.search(CANARY, str(refused.value))
