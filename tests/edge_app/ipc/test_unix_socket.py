"""Unix sockets whose paths are longer than an address may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_app.ipc.peers import Role, listen, role_socket
from edge_app.ipc.unix_socket import MOST_BYTES, connected_to


@pytest.mark.parametrize("length", [60, MOST_BYTES, MOST_BYTES + 1, 300])
def test_a_socket_is_reached_at_a_path_of_any_length(tmp_path: Path, length: int) -> None:
    """A state folder deep down worked with `agent.sock`, so it has to with longer names."""
    folder = tmp_path
    while len(str(folder)) < length - 60:
        folder = folder / ("d" * min(50, max(1, length - 61 - len(str(folder)))))
    folder.mkdir(parents=True, exist_ok=True)
    path = role_socket(folder / ("s" * max(1, length - len(str(folder)) - 17) + ".sock"), Role.PAGE)
    listener = listen(path, 0o600, 1)
    with listener, connected_to(path) as client:
        peer, _ = listener.accept()
        with peer:
            client.sendall(b"hello")
            assert peer.recv(5) == b"hello"
    assert path.is_socket()


def test_where_nobody_listens_it_is_an_os_error(tmp_path: Path) -> None:
    """Also where the folder is not there, at a long path."""
    for path in (tmp_path / "a.sock", tmp_path / ("d" * 120) / "a.sock"):
        with pytest.raises(OSError, match="No such file"):
            connected_to(path)
