"""Agent and inspection together, over a real socket, on a simulated line with real graphs."""

from __future__ import annotations

from pathlib import Path

from activation_bundles import manifest_of, write_release
from agent_line import device, write_config
from brokers import wait_until


def test_switches_and_changeovers_under_load_lose_no_part(tmp_path: Path) -> None:
    """Four installations and six changeovers on a triggered line: every trigger gets its verdict
    from exactly one model, none is NOT_INSPECTED, each changeover takes less than a second."""
    with device(write_config(tmp_path)) as (agent, line):
        wait_until(lambda: len(line.verdicts) > 2)
        assert set(line.unjudged) == {"no_model"}
        first = write_release(tmp_path / "a1.bundle", manifest_of("alpha", 1))
        assert agent.install(first).state == "committed"
        wait_until(lambda: line.judges == "alpha 1")
        started = len(line.verdicts)
        for product, serial in (("alpha", 2), ("beta", 1), ("beta", 2)):
            file = write_release(tmp_path / "x.bundle", manifest_of(product, serial))
            assert agent.install(file).state == "committed", agent.reports[-1]
            wait_until(lambda p=product, s=serial: line.judges == f"{p} {s}")
        for product in ("alpha", "beta") * 3:
            is_ok, text = agent.select(product)
            assert is_ok, text
            assert float(text.split("(")[1].split()[0]) < 1000
            wait_until(lambda p=product: line.judges == f"{p} 2")
    after = line.verdicts[started:]
    assert line.unjudged == ["no_model"] * len(line.unjudged)
    assert all(v.state.value != "NOT_INSPECTED" for v in after)
    numbers = [v.source_number for v in after]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
