"""The installed app on a state disk that takes nothing, and gets well while it runs."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from support.app_config import EDGE_APP, ROOT, write_config
from support.brokers import Listener, Mosquitto, wait_until
from support.child_processes import SCRIPT_ENVIRONMENT
from support.small_bundles import write_pictures

NAMESPACE = ["unshare", "--map-root-user", "--mount"]


@pytest.mark.needs("a disk of its own in a namespace")
@pytest.mark.parametrize("fault", ["ro", "full"])
def test_a_start_on_a_sick_disk_inspects_and_is_well_afterwards(
    mosquitto: Mosquitto, tmp_path: Path, fault: str
) -> None:
    """Degraded with the reason, alerts from memory; online again once the disk takes writes."""
    write_pictures(tmp_path / "in", 4, {1, 2, 3})
    config = write_config(tmp_path, "folder:in?loop=1&interval_s=0.2", mosquitto.port)
    state, well = tmp_path / "state", tmp_path / "well"
    state.mkdir()
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    where = shlex.quote(str(state))
    sick = {
        "ro": f"mount -o remount,ro {where}",
        "full": f"dd if=/dev/zero of={where}/ballast bs=4k 2>/dev/null",
    }[fault]
    cure = {"ro": f"mount -o remount,rw {where}", "full": f"rm {where}/ballast"}[fault]
    script = (
        f"mount -t tmpfs -o size=8M none {where}; {sick}; "
        f"(while [ ! -e {shlex.quote(str(well))} ]; do sleep 0.1; done; {cure}) & "
        f"exec {shlex.quote(EDGE_APP)} run --config {shlex.quote(str(config))}"
    )
    process = subprocess.Popen(
        [*NAMESPACE, "sh", "-c", script], stderr=subprocess.DEVNULL, env=SCRIPT_ENVIRONMENT
    )
    try:
        wait_until(lambda: "degraded" in [b["state"] for b in listener.bodies("d3/status")], 30)
        reason = listener.bodies("d3/status")[-1]["reason"]
        assert "alarm store cannot be written" in reason
        wait_until(lambda: len(listener.bodies("/alert")) > 2, 30)
        assert all(body["is_from_memory"] for body in listener.bodies("/alert"))
        well.touch()
        wait_until(lambda: listener.bodies("d3/status")[-1]["state"] == "online", 30)
        wait_until(lambda: not listener.bodies("/alert")[-1]["is_from_memory"], 30)
        assert process.poll() is None
    finally:
        well.touch()  # ends the shell beside it too
        process.kill()
        process.wait()
    told = {(b["store_id"], b["seq"]): b["message_id"] for b in listener.bodies("/alert")}
    for body in listener.bodies("/alert"):
        earlier = body["told_as"]  # on its way from memory when the disk got well: told again
        if earlier and (earlier["store_id"], earlier["seq"]) in told:
            assert told[earlier["store_id"], earlier["seq"]] == body["message_id"]
    firsts = [body["message_id"] for body in listener.bodies("/alert") if not body["told_as"]]
    assert len(set(firsts)) == len(firsts)
