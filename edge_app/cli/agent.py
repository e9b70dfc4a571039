"""The agent's commands on the device: `edge-app install` and `edge-app slots ...`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_app.config.load import load_config
from edge_app.config.model import AgentConfig
from edge_app.ipc.client import ask, ended, replies
from edge_app.ipc.protocol import (
    Answer,
    DecideCommand,
    InstallCommand,
    PeerMessage,
    Progress,
    Release,
    SelectCommand,
    SlotEntry,
    SlotsCommand,
)

EXIT_REFUSED = 1


def socket_of(config: Path | None) -> Path:
    """Return the agent's socket: the configuration's, or the default one.

    Raises:
        ConfigError: see `load_config`.
    """
    return AgentConfig().socket if config is None else load_config(config).agent.socket


def install(socket_path: Path, file: Path, slot: str) -> int:
    """Install a file and print every state; return 0 when it is committed, 1 when not.

    Raises:
        ConfigError: the agent does not answer, or ended in between.
    """
    command = InstallCommand(path=str(file.absolute()), slot=slot)
    for line in replies(socket_path, command):
        if isinstance(line, Progress):
            report = line.reported
            percent = "" if report.percent is None else f" {report.percent:.0f} %"
            print(f"{report.state}{percent}  {report.reason}".rstrip(), flush=True)
        elif isinstance(line, Answer):
            return 0 if line.is_ok else EXIT_REFUSED
    raise ended()


def select(socket_path: Path, slot: str, product: str) -> int:
    """Change a slot over to an installed product; return 0 when it is active, 1 when not.

    Raises:
        ConfigError: see `install`.
    """
    return _ask(socket_path, SelectCommand(slot=slot, product=product))


def decide(socket_path: Path, slot: str, promote: bool) -> int:
    """Accept or refuse a candidate after its shadow run; return 0 when that was done.

    Raises:
        ConfigError: see `install`.
    """
    return _ask(socket_path, DecideCommand(slot=slot, promote=promote))


NONE = "nothing installed; [bundle] path serves this slot where the configuration has one"


def list_slots(socket_path: Path) -> int:
    """Print the bundles of every slot.

    Raises:
        ConfigError: see `install`.
    """
    answer = ask(socket_path, SlotsCommand())
    print("\n".join(text for entry in answer.slots for text in _entry(entry)))
    return 0


def _ask(socket_path: Path, command: PeerMessage) -> int:
    answer = ask(socket_path, command)
    print(answer.text)
    return 0 if answer.is_ok else EXIT_REFUSED


def _entry(entry: SlotEntry) -> Iterator[str]:
    yield f"slot {entry.slot}"
    yield f"  active     {NONE if entry.active is None else _release(entry.active)}"
    if entry.previous is not None:
        yield f"  previous   {_release(entry.previous)}"
    for release in entry.installed:
        yield f"  installed  {_release(release)}"
    if entry.state:
        yield f"  last state {entry.state} {entry.reason}".rstrip()


def _release(release: Release) -> str:
    return f"{release.product} {release.serial}  sha256 {release.sha256[:12]}"
