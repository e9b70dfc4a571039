"""The probe that decides whether the booted Debian is tried at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import support.nspawn_probe as nspawn_probe

pytestmark = pytest.mark.slow


def test_a_machine_on_which_nothing_boots_is_told_apart_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox that forbids containers, played by an nspawn that says so and ends: the tests are
    skipped with its last words, in well under a minute."""
    forbidden = tmp_path / "systemd-nspawn"
    forbidden.write_text(
        "#!/bin/sh\necho 'Failed to create namespace: Operation not permitted'\nexit 1\n"
    )
    forbidden.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "Operation not permitted" in nspawn_probe.why_not_bootable()
