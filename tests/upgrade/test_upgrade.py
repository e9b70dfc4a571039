"""Today's code on what release 0.1.0 left on a device's disk: tests/fixtures/release_0_1_0."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from cut_device import bundle, digest_of
from field_device import ENDLESS_PROBATION, RELEASE, Code, device, phases, restore, wait_until
from goes_on import GOES_ON_WITH, Brokers, all_at_once, goes_on, judging, rests
from workstation import pointer_to, serving

TOGETHER = {
    "before the switch": ("empty", "first", "killed", "copied", "admitted", "record_half_written"),
    "compared": ("comparing", "compared", "refused"),
    "from the switch on": ("switching", "switched", "probation", "crashed_twice", "selecting"),
    "from the commit on": ("committing", "committing_half", "committed"),
    "taken back": ("rolling_back", "rolling_back_half", "rolled_back"),
    "changed over": ("two_products", "commanded"),
    "pushed": ("downloading", "downloaded", "handed_over", "pushed"),
}

HAD_A_BROKER = (*TOGETHER["pushed"], "commanded")
"""0.1.0 told of the first parts itself; all others of which nobody was told wait in the outbox."""


def test_every_phase_of_the_release_is_gone_on_from() -> None:
    """No state of a device that was kept is left out below."""
    assert sorted(GOES_ON_WITH) == phases()
    assert sorted(phase for names in TOGETHER.values() for phase in names) == phases()


@pytest.mark.parametrize("names", TOGETHER.values(), ids=TOGETHER)
def test_a_device_of_the_release_goes_on(
    tmp_path: Path, today: Code, brokers: Brokers, names: tuple[str, ...]
) -> None:
    """From each phase the device comes to rest with the bundle that 0.1.0 would have come to, and
    no alert and no part is lost, told twice or numbered anew."""

    def check(phase: str) -> None:
        with (
            device(restore(phase, tmp_path / phase), today) as found,
            brokers.at(found) as station,
        ):
            told = goes_on(found, station, GOES_ON_WITH[phase])
            rests(found)
            if phase not in HAD_A_BROKER:
                assert told == {path.name for path in (found.folder / "drop").glob("*.png")}

    all_at_once(names, check)


def test_a_third_crash_brings_the_old_bundle_back(
    tmp_path: Path, today: Code, brokers: Brokers
) -> None:
    """Two crashes with the new bundle were counted by 0.1.0: after one more the old one judges."""
    folder = restore("crashed_twice", tmp_path / "device")
    with device(folder, today) as found, brokers.at(found) as station:
        found.set(slot=ENDLESS_PROBATION)
        found.start()
        wait_until(lambda: judging(station) == digest_of("alpha-2"), "the new bundle judges")
        assert found.run is not None
        wait_until(lambda: "probation" in found.agent.text, "its probation")  # type: ignore[union-attr]
        found.run.end(signal.SIGKILL)
        wait_until(
            lambda: found.record() is None and found.link("active") == digest_of("alpha-1"),
            "taken back",
        )
        found.start_run()
        wait_until(lambda: judging(station) == digest_of("alpha-1"), "the old bundle judges")
        found.stop()


def test_the_release_s_journals_are_read(tmp_path: Path, today: Code, brokers: Brokers) -> None:
    """A command that 0.1.0 took is not taken again, and neither is a pointer it carried out."""
    with (
        device(restore("commanded", tmp_path / "commanded"), today) as found,
        brokers.at(found) as station,
    ):
        found.start()
        taken = (RELEASE / "taken_command.json").read_text()
        assert not station.command(taken)["is_done"]
        kept = json.loads((found.store / "state" / "commands.json").read_text())["commands"]
        assert json.loads(json.loads(taken)["order"])["command_id"] in kept
        found.stop()
    with (
        device(restore("pushed", tmp_path / "pushed"), today) as found,
        brokers.at(found) as station,
        serving(bundle("alpha-2")) as server,
    ):
        journal = json.loads((found.store / "state" / "pointer-main.json").read_text())
        found.start()
        pointer = pointer_to(bundle("alpha-2"), server.url)
        station.place({**pointer, "message_id": journal["last_report"]["desired_id"]})
        station.place({**pointer, "sha256": "0" * 64})
        wait_until(
            lambda: any(r["sha256"] == "0" * 64 for r in station.bodies("/reported")),
            "an answer to the second pointer",
        )
        answered = {r["desired_id"] for r in station.bodies("/reported")[1:]}
        assert answered == {pointer["message_id"]}
        found.stop()


def test_the_installed_command_carries_a_device_of_the_release_on(
    tmp_path: Path, today: Code, brokers: Brokers
) -> None:
    """`python -m`, as systemd starts it: the device was killed under 0.1.0, judges, installs a
    bundle of 0.1.0's workstation, compares, watches and commits it, and delivers every alert."""
    with (
        device(restore("killed", tmp_path / "device"), today, anew=True) as found,
        brokers.at(found) as station,
    ):
        goes_on(found, station, "alpha-1")
        install = found.install(bundle("alpha-2"))
        assert install.wait() == 0, install.text
        said = [line.split()[0] for line in install.text.splitlines()]
        assert list(dict.fromkeys(said)) == [
            *("verifying", "self_check", "shadow", "switching", "probation", "committed")
        ]
        assert judging(station) == digest_of("alpha-2")
        rests(found)
