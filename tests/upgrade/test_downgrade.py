"""Release 0.1.0 on what today's code left on a device's disk: an upgrade can be undone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from cut_device import CUTS, PUSHES, bundle, digest_of
from field_device import ENDLESS_PROBATION, NOBODY_LISTENS, QUICK, Code, device, restore, wait_until
from goes_on import GOES_ON_WITH, Brokers, all_at_once, goes_on, judging, rests

QUICKLY = ("switching", "probation", "committing_half", "rolling_back")
"""One of each word that a record has."""
OTHERS = tuple(phase for phase in (*CUTS, *PUSHES) if phase not in QUICKLY)


def goes_on_with_release(
    today: Code, release: Code, brokers: Brokers, folder: Path, phase: str
) -> None:
    """Have today's code bring a device of the release into a phase and cut it off there; have the
    release go on."""
    with device(restore("first", folder / phase), today) as found:
        if phase in CUTS:
            found.set(port=NOBODY_LISTENS)
            CUTS[phase](found)
        else:
            with brokers.at(found) as station:
                PUSHES[phase](found, station)
        found.set(slot=QUICK)
    with device(folder / phase, release) as found, brokers.at(found) as station:
        goes_on(found, station, GOES_ON_WITH[phase])
        rests(found)


@pytest.mark.parametrize(
    "phases", [QUICKLY, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["some", "others"]
)
def test_the_release_goes_on_where_today_s_code_was_cut_off(
    tmp_path: Path, today: Code, release: Code, brokers: Brokers, phases: tuple[str, ...]
) -> None:
    """0.1.0 comes to rest with the same bundle, and delivers every alert that today's code kept."""
    all_at_once(phases, partial(goes_on_with_release, today, release, brokers, tmp_path))


def unknown_to_the_release(state: Path) -> dict[str, bytes]:
    """Return the files that 0.1.0 does not know."""
    return {
        path.name: path.read_bytes()
        for path in sorted(state.iterdir())
        if path.name.startswith(("audit", "limits", "pauses"))
    }


def test_an_upgrade_is_undone(tmp_path: Path, today: Code, release: Code, brokers: Brokers) -> None:
    """A device that was killed under 0.1.0 runs today's code, commits a bundle with it, is killed
    again and goes on with 0.1.0 as `python -m`: no alert is lost on the way, and when the new
    bundle is damaged the one before it judges."""
    folder = restore("killed", tmp_path / "device")
    with device(folder, today) as found, brokers.at(found) as station:
        goes_on(found, station, "alpha-1")
        install = found.install(bundle("alpha-2"))
        assert install.wait() == 0, install.text
    added = unknown_to_the_release(folder / "state")
    assert {"audit.sqlite", "audit.sqlite.head"} <= set(added)
    with device(folder, release, anew=True) as found, brokers.at(found) as station:
        goes_on(found, station, "alpha-2")
        rests(found)
        assert unknown_to_the_release(folder / "state") == added
        (found.store / "releases" / f"{digest_of('alpha-2')}.bundle").write_bytes(b"damaged")
        station.forget()
        found.anew = False
        found.start_run()
        wait_until(lambda: judging(station) == digest_of("alpha-1"), "the bundle before it judges")


def test_the_release_takes_back_what_it_installs_after_today_s_code(
    tmp_path: Path, today: Code, release: Code, brokers: Brokers
) -> None:
    """Today's code installs the first bundle of an empty device; 0.1.0 installs the next one, and
    takes it back by hand during its probation."""
    folder = restore("empty", tmp_path / "device")
    with device(folder, today) as found, brokers.at(found):
        found.start()
        assert found.install(bundle("alpha-1")).wait() == 0
        found.cut_off()
    with device(folder, release) as found, brokers.at(found) as station:
        found.set(slot=ENDLESS_PROBATION)
        found.start()
        install = found.install(bundle("alpha-2"))
        wait_until(lambda: judging(station) == digest_of("alpha-2"), "the new bundle judges")
        wait_until(lambda: "probation" in install.text, f"its probation: {install.text}")
        reject = found.command("slots", "reject")
        assert reject.wait() == 0, reject.text
        assert install.wait() == 1, install.text
        assert found.record() is None
        assert found.link("active") == digest_of("alpha-1")
        wait_until(lambda: judging(station) == digest_of("alpha-1"), "the old bundle judges")
        rests(found)
