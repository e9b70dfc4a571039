"""The table of who owns what (docs/service.md) says what units, code and install.sh do."""

from __future__ import annotations

import grp
import os
import re
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge_app.activation.own_limits import OwnLimits
from edge_app.agent.install.socket_server import PeerServer
from edge_app.alerts.evidence import EvidenceStore
from edge_app.audit.log import AuditLog
from edge_app.audit.records import AuditEntry
from edge_app.config.model import AgentConfig
from edge_app.history.schema import open_for_writing
from edge_app.host import file_ownership
from edge_app.ipc.frame_ring import FrameRingWriter
from edge_app.ipc.order_client import orders_socket
from edge_app.ipc.order_schema import OrderAnswer
from edge_app.ipc.order_server import OrderServer
from edge_app.ipc.page_link import Settings
from edge_app.ipc.peers import ACCOUNTS, AGENT_ACCOUNT, SOCKET_MODES, Role, role_socket
from edge_app.page.settings_file import SettingsFile
from edge_app.runtime.pauses import PauseBook

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "service.md").read_text().split("<!-- ownership: tested -->")[1]
INSTALL = (ROOT / "packaging" / "install.sh").read_text()
UNITS = ("edge-app", "edge-app-agent", "edge-app-page")


@dataclass(frozen=True)
class Row:
    owner: str
    group: str
    mode: str
    writer: str
    readers: str


def rows() -> dict[str, Row]:
    found = {}
    for line in TABLE.strip().splitlines():
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        name = re.search(r"`([^`]+)`", cells[0])
        if name is not None:
            owner, group = cells[1].split(", ")
            found[name[1]] = Row(owner, group, cells[2], cells[3], cells[4])
    return found


def unit(name: str) -> dict[str, list[str]]:
    """Return a unit's settings, each with every value it is given."""
    settings: dict[str, list[str]] = {}
    for line in (ROOT / "systemd" / f"{name}.service").read_text().splitlines():
        key, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            settings.setdefault(key, []).append(value)
    return settings


def mode_of(path: Path) -> str:
    return f"{stat.S_IMODE(path.lstat().st_mode):04o}"


@pytest.mark.parametrize("name", UNITS)
def test_the_folders_are_the_units(name: str) -> None:
    """State and runtime folders: owner, group and mode as systemd makes them, and no others."""
    settings, table = unit(name), rows()
    (user,), (group,) = settings["User"], settings["Group"]
    for kind, base in (("State", "/var/lib"), ("Runtime", "/run")):
        for folder in settings.get(f"{kind}Directory", ()):
            row = table[f"{base}/{folder}/"]
            assert (row.owner, row.group) == (user, group)
            assert [row.mode] == settings[f"{kind}DirectoryMode"]
    owned = {path for path, row in table.items() if row.owner == user}
    folders = {
        f"{base}/{folder}/"
        for kind, base in (("State", "/var/lib"), ("Runtime", "/run"))
        for folder in settings.get(f"{kind}Directory", ())
    }
    assert {path for path in owned if re.fullmatch(r"/(var/lib|run)/[^/]+/", path)} == folders


def test_the_accounts_are_install_shs() -> None:
    """Every owner and group of the table is made by the installer; the page's account is in the
    readers' group and not in inspection's."""
    words = set(re.findall(r"cropliq-edge[a-z-]*", INSTALL))
    for row in rows().values():
        assert {row.owner, row.group} <= words
    page, inspection = unit("edge-app-page"), unit("edge-app")
    assert page["User"] == [ACCOUNTS[Role.PAGE]]
    assert inspection["User"] == [ACCOUNTS[Role.INSPECTION]]
    assert unit("edge-app-agent")["User"] == [AGENT_ACCOUNT]
    groups = {*page["Group"], *page["SupplementaryGroups"][0].split()}
    assert file_ownership.READERS in groups
    assert not groups & set(inspection["Group"])
    assert file_ownership.READERS in inspection["SupplementaryGroups"][0].split()
    assert "READERS=" + file_ownership.READERS in INSTALL
    assert "PAGE=" + ACCOUNTS[Role.PAGE] in INSTALL


def test_the_agents_sockets_are_its_servers(tmp_path: Path) -> None:
    """Name and mode of each, as the server makes them, and who may speak."""
    server = PeerServer(tmp_path / "agent.sock", SimpleNamespace())
    server.start()
    try:
        made = {path.name: mode_of(path) for path in tmp_path.iterdir()}
    finally:
        server.stop()
    folder = AgentConfig().socket.parent
    told = {Path(p).name: row.mode for p, row in rows().items() if Path(p).parent == folder}
    assert made == told
    for role, account in ACCOUNTS.items():
        row = rows()[str(role_socket(AgentConfig().socket, role))]
        assert row.readers == f"account `{account}`"


def test_the_pages_socket_is_the_units(tmp_path: Path) -> None:
    """Inspection listens where its unit says, and the page's unit looks there."""
    (path,) = [p for p in rows() if p.endswith("/page.sock")]
    assert f"CROPLIQ_PAGE_SOCKET={path}" in unit("edge-app")["Environment"]
    assert unit("edge-app-page")["ExecStart"][0].endswith(f"--socket {path}")
    assert rows()[path].mode == f"{SOCKET_MODES[Role.PAGE]:04o}"


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The number of a readers' group as install.sh makes one, under the unit's umask."""
    lookup = grp.getgrnam
    there = SimpleNamespace(gr_gid=4242)
    monkeypatch.setattr(
        grp,
        "getgrnam",
        lambda n: there if n == file_ownership.READERS else lookup(n),
    )
    file_ownership._gid_of.cache_clear()
    before = os.umask(0o077)
    yield there.gr_gid
    os.umask(before)
    file_ownership._gid_of.cache_clear()


@pytest.mark.needs("root")
@pytest.mark.parametrize("is_old", [False, True], ids=["new", "of an earlier release"])
def test_evidence_is_given_to_the_readers(tmp_path: Path, readers: int, is_old: bool) -> None:
    """Folder, day and picture get group and mode; so do those that an earlier release left."""
    if is_old:
        old = tmp_path / "evidence" / "2099-01-02"
        old.mkdir(parents=True)
        (old / "a.jpg").write_bytes(b"x")
    store = EvidenceStore(tmp_path / "evidence", 24, 10**7, 85, "http://x")
    if not is_old:
        assert store.save("a", np.zeros((8, 8, 3), np.uint8)) is not None
    (picture,) = (tmp_path / "evidence").glob("*/*.jpg")
    base = "/var/lib/cropliq-edge/evidence/"
    for path, name in (
        (tmp_path / "evidence", base),
        (picture.parent, base + "DAY/"),
        (picture, base + "DAY/NAME.jpg"),
    ):
        assert path.stat().st_gid == readers
        assert mode_of(path) == rows()[name].mode


@pytest.mark.needs("root")
def test_the_history_is_given_to_the_readers(tmp_path: Path, readers: int) -> None:
    """The file and what SQLite keeps beside it have group and mode while it is open."""
    with closing(open_for_writing(tmp_path / "history.sqlite")):
        found = {path.name: path for path in tmp_path.iterdir()}
        assert set(found) == {"history.sqlite", "history.sqlite-wal", "history.sqlite-shm"}
        row = rows()["/var/lib/cropliq-edge/history.sqlite"]
        assert {mode_of(path) for path in found.values()} == {row.mode}
        assert {path.stat().st_gid for path in found.values()} == {readers}


@pytest.mark.needs("root")
def test_the_audit_is_given_to_the_readers(tmp_path: Path, readers: int) -> None:
    """The file and the copy of its head; what follows from it is inspection's alone."""
    log = AuditLog(tmp_path / "audit.sqlite")
    log.record(AuditEntry("user_added", "root", "root"))
    log.close()
    OwnLimits(tmp_path / "limits.json").follow([])
    PauseBook(tmp_path / "pauses.json", ()).follow([])
    for path in tmp_path.iterdir():
        row = rows()[f"/var/lib/cropliq-edge/{path.name}"]
        assert mode_of(path) == row.mode
        assert (path.stat().st_gid == readers) == (row.group == file_ownership.READERS)
    assert len(list(tmp_path.iterdir())) == 4


def test_orders_come_in_beside_the_page(tmp_path: Path) -> None:
    """Open to all by its mode, as the page's account is in no group of ours; each is checked."""
    (page,) = [p for p in rows() if p.endswith("/page.sock")]
    row = rows()[str(orders_socket(tmp_path, Path(page)))]
    server = OrderServer(tmp_path / "orders.sock", lambda _order, _peer: OrderAnswer(
        is_done=True, text=""
    ))  # fmt: skip
    server.start()
    try:
        assert mode_of(server.path) == row.mode
    finally:
        server.stop()
    assert row.readers == f"accounts `{ACCOUNTS[Role.PAGE]}` and `{AGENT_ACCOUNT}`"


def test_what_is_secret_has_no_other_reader(tmp_path: Path) -> None:
    """The page's settings, in which the token is, and the shared memory."""
    SettingsFile(tmp_path / "settings.json").write(
        Settings(host="127.0.0.1", port=1, token="x" * 16)
    )
    row = rows()["/var/lib/cropliq-edge-page/settings.json"]
    assert mode_of(tmp_path / "settings.json") == row.mode
    ring = FrameRingWriter(1, 8)
    assert (
        f"{stat.S_IMODE(os.fstat(ring.fd).st_mode):04o}"
        == rows()["cropliq-page"].mode.split(",")[0]
    )
    ring.close()
    umask = unit("edge-app")["UMask"]
    assert umask == ["0077"], "outbox.sqlite is 0600 by the unit's umask"
    assert rows()["/var/lib/cropliq-edge/outbox.sqlite"].mode == "0600"
