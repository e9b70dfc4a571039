"""Who may play which role on a Unix socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from edge_app.ipc.peers import ACCOUNTS, Role, may_play, peer_of, role_socket

AGENT, INSPECTION, PAGE, ANNA = 901, 902, 903, 1000
UIDS = {"cropliq-edge": INSPECTION, "cropliq-edge-page": PAGE}

ALLOWED = {
    Role.INSPECTION: {0, AGENT, INSPECTION},
    Role.PAGE: {0, AGENT, PAGE},
    Role.PEOPLE: {0, AGENT, ANNA},
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("uid", [0, AGENT, INSPECTION, PAGE, ANNA])
def test_each_account_has_one_role(role: Role, uid: int) -> None:
    """Inspection cannot install, the page cannot be inspection, people cannot be either; root and
    whoever runs the listening process may be all."""
    assert may_play(role, uid, own_uid=AGENT, lookup=UIDS.get) is (uid in ALLOWED[role])


@pytest.mark.parametrize("role", [Role.INSPECTION, Role.PAGE])
def test_an_account_that_is_not_there_lets_nobody_in(role: Role) -> None:
    """On a machine without install.sh's accounts only the own account and root may speak."""
    for uid in (ANNA, INSPECTION, PAGE):
        assert not may_play(role, uid, own_uid=AGENT, lookup=lambda _: None)


def test_the_kernel_says_who_connected() -> None:
    """Not the peer itself."""
    ours, theirs = socket.socketpair()
    peer = peer_of(ours)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())
    ours.close()
    theirs.close()


def test_every_role_has_its_socket() -> None:
    """Beside the configured one, which stays people's."""
    paths = {role_socket(Path("/run/x/agent.sock"), role) for role in Role}
    assert paths == {
        Path("/run/x/agent.sock"),
        Path("/run/x/agent-inspection.sock"),
        Path("/run/x/agent-page.sock"),
    }
    assert set(ACCOUNTS) == set(Role) - {Role.PEOPLE}
