"""Keys revoked or added while the agent runs: no restart is needed for either."""

from __future__ import annotations

from pathlib import Path

from support.activation_bundles import manifest_of, signer, write_release
from support.agent_and_line import device, write_config
from support.brokers import wait_until
from support.operator_commands import operator_keys
from support.signed_bundles import Signer


def test_a_key_revoked_while_the_agent_runs_installs_nothing_more(tmp_path: Path) -> None:
    """The very next bundle signed with it is refused and the old model judges on; a list that
    cannot be read, or no key left, refuses too, with that reason; a key that is trusted again
    installs again."""
    with device(write_config(tmp_path), tries_here=True) as (agent, line):
        first, second = (
            write_release(tmp_path / f"{serial}.bundle", manifest_of("alpha", serial))
            for serial in (1, 2)
        )
        assert agent.install(first).state == "committed"
        in_use = agent.store.active("main")
        revoked = tmp_path / "keys" / "revoked.txt"
        operator_keys(tmp_path / "keys", Signer("next"))  # its name apart, a key like any other
        for text, why in (
            (signer().key_id, f"signed with the revoked key {signer().key_id[:16]}"),
            ("that old key", "revoked.txt line 1 is no key id"),
        ):
            revoked.write_text(text + "\n")
            ended = agent.install(second)
            assert (ended.state, why in ended.reason) == ("refused", True), ended.reason
        (tmp_path / "keys" / "next.pub").unlink()
        revoked.write_text(signer().key_id + "\n")
        assert "holds no trusted key" in agent.install(second).reason
        assert agent.store.active("main") == in_use
        assert list(agent.store.incoming.iterdir()) == []
        seen = len(line.verdicts)
        wait_until(lambda: len(line.verdicts) > seen + 2)
        assert line.judges == "alpha 1"
        revoked.unlink()
        assert agent.install(second).state == "committed"
