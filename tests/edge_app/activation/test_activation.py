"""Agent and inspection together, over a real socket, on a simulated line with real graphs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.activation_bundles import manifest_of, write_release
from support.agent_and_line import TRIGGERED, Device, Line, device, write_config
from support.brokers import wait_until
from support.pictures_read import picture_at

from edge_app.bundle.manifest import Manifest, Tolerances
from edge_app.errors import ConfigError

ALL_GOOD, ALL_BAD = 256.0, 1.0
"""Score thresholds that no picture reaches, and that every picture does."""


def release(folder: Path, serial: int, threshold: float = ALL_GOOD, product: str = "alpha") -> Path:
    """Write a bundle that calls everything good, or everything bad."""
    manifest = manifest_of(product, serial, threshold)
    return write_release(folder / f"{product}-{serial}.bundle", manifest)


def begin(agent: Device, line: Line, folder: Path, parts: int = 8) -> str:
    """Install the first bundle, let it judge some parts, and return its digest."""
    assert agent.install(release(folder, 1)).state == "committed"
    sha256 = agent.store.active("main") or ""
    wait_until(lambda: line.judged_by(sha256) >= parts, 20, "parts of the first bundle")
    return sha256


def assert_still_judges(agent: Device, line: Line, sha256: str) -> None:
    """The first bundle is the slot's, there is no record, and it goes on judging."""
    assert agent.store.active("main") == sha256
    assert agent.store.intent("main") is None
    seen = len(line.verdicts)
    wait_until(lambda: len(line.verdicts) > seen + 2)
    judged_by = {v.model.bundle_sha256 for v in line.verdicts[seen + 1 :] if v.model}
    assert judged_by == {sha256}


def test_switches_and_changeovers_under_load_lose_no_part(tmp_path: Path) -> None:
    """Four installations and six changeovers on a triggered line: every trigger gets its verdict
    from exactly one model, none is NOT_INSPECTED; a changeover takes less than a second (the
    quickest of six: others may use the machine too; benchmarks/activation.py has them all)."""
    with device(write_config(tmp_path, url=TRIGGERED)) as (agent, line):
        wait_until(lambda: len(line.verdicts) > 2)
        assert set(line.unjudged) == {"no_model"}
        assert agent.install(release(tmp_path, 1)).state == "committed"
        wait_until(lambda: line.judges == "alpha 1")
        started = len(line.verdicts)
        for product, serial in (("alpha", 2), ("beta", 1), ("beta", 2)):
            ended = agent.install(release(tmp_path, serial, product=product))
            assert ended.state == "committed", ended.reason
            wait_until(partial(lambda p, s: line.judges == f"{p} {s}", product, serial))
        took_ms = []
        for product in ("alpha", "beta") * 3:
            is_ok, text = agent.select(product)
            assert is_ok, text
            took_ms.append(float(text.split("(")[1].split()[0]))
            wait_until(partial(lambda p: line.judges == f"{p} 2", product))
            assert dict(line.app.page_state.facts().bundle)["Product"] == product
        assert min(took_ms) < 1000
        after = line.verdicts[started:]
    assert all(v.state.value != "NOT_INSPECTED" for v in after)
    numbers = [v.source_number for v in after]
    assert numbers[0] is not None
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.slow
def test_twenty_switches_and_twenty_changeovers(tmp_path: Path) -> None:
    """On a triggered line every trigger gets its verdict, none is NOT_INSPECTED."""
    with device(write_config(tmp_path, url=TRIGGERED), tries_here=True) as (agent, line):
        begin(agent, line, tmp_path, parts=1)
        started = len(line.verdicts)
        for number in range(20):
            product, serial = ("alpha", "beta")[number % 2], 2 + number // 2
            assert agent.install(release(tmp_path, serial, product=product)).state == "committed"
            wait_until(partial(lambda p, s: line.judges == f"{p} {s}", product, serial))
        for number in range(20):
            product = ("alpha", "beta")[number % 2]
            is_ok, text = agent.select(product)
            assert is_ok, text
            wait_until(partial(lambda p: line.judges == f"{p} 11", product))
        after = line.verdicts[started:]
    assert all(v.state.value != "NOT_INSPECTED" for v in after)
    numbers = [v.source_number for v in after]
    assert numbers[0] is not None
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_damaged_bundle_falls_back_to_the_one_before(tmp_path: Path) -> None:
    """A disk that loses a block of the bundle in use: `run` starts with its predecessor, says so,
    and never judges with what is damaged."""
    config = write_config(tmp_path)
    with device(config) as (agent, line):
        first = begin(agent, line, tmp_path, parts=1)
        assert agent.install(release(tmp_path, 2)).state == "committed"
        damaged = agent.store.release(agent.store.active("main") or "")
    raw = bytearray(damaged.read_bytes())
    raw[len(raw) // 2] ^= 1
    damaged.write_bytes(raw)
    with device(config) as (agent, line):
        wait_until(lambda: line.judged_by(first) > 2)
        assert {v.model.bundle_sha256 for v in line.verdicts if v.model} == {first}


def test_a_second_agent_is_told_to_stay_away(tmp_path: Path) -> None:
    """Two agents on one store would undo one another's work."""
    config = write_config(tmp_path)
    first, second = Device(config), Device(config)
    first.agent.start()
    with pytest.raises(ConfigError, match="Another agent uses the store"):
        second.agent.start()
    first.stop()
    second.agent.start()
    second.stop()


def test_a_changeover_is_no_downgrade_and_an_old_serial_is(tmp_path: Path) -> None:
    """Back to an installed product with a lower serial: yes. An older bundle of a product: no."""
    with device(write_config(tmp_path)) as (agent, line):
        begin(agent, line, tmp_path, parts=1)
        assert agent.install(release(tmp_path, 7, product="beta")).state == "committed"
        assert agent.select("alpha")[0]
        assert agent.install(release(tmp_path, 9)).state == "committed"
        wait_until(lambda: line.judges == "alpha 9")
        nine = agent.store.active("main") or ""
        ended = agent.install(release(tmp_path, 8))
        assert ended.state == "refused"
        assert "older than serial 9" in ended.reason
        assert_still_judges(agent, line, nine)
        is_ok, text = agent.select("gamma")
        assert (is_ok, "installed: alpha, beta" in text) == (False, True)


def test_a_candidate_that_agrees_passes_comparison_and_probation(tmp_path: Path) -> None:
    """Every state is reported in order, and the old model judges until the switch."""
    rules = "shadow_parts = 5\nprobation_parts = 5"
    with device(write_config(tmp_path, rules)) as (agent, line):
        first = begin(agent, line, tmp_path)
        ended = agent.install(release(tmp_path, 2))
        assert ended.state == "committed", ended.reason
        assert agent.states() == [
            "verifying", "self_check", "shadow", "switching", "probation", "committed",
        ]  # fmt: skip
        assert ended.disagreement is not None
        assert ended.disagreement.parts == 5
        figures = r"0 of \d+ parts alarmed, 0 not inspected; the model before it: 0 of \d+, 0"
        assert re.fullmatch(figures, ended.reason)
        assert agent.store.previous("main") == first
        wait_until(lambda: line.judges == "alpha 2")


def test_a_candidate_that_disagrees_is_refused_with_pictures(tmp_path: Path) -> None:
    """It calls every part bad that the model in use calls good: it never judges, and the report
    shows both models' view of the same parts side by side."""
    with device(write_config(tmp_path, "shadow_parts = 4\nprobation_parts = 0")) as (agent, line):
        first = begin(agent, line, tmp_path)
        ended = agent.install(release(tmp_path, 2, ALL_BAD))
        assert ended.state == "refused"
        assert "4 of 4 parts judged differently" in ended.reason
        assert 'set promote = "hand"' in ended.reason
        assert str(ended.disagreement and ended.disagreement.report_url) in ended.reason
        assert ended.disagreement is not None
        assert ended.disagreement.only_candidate_ng == 4
        page = Path(urlsplit(ended.disagreement.report_url or "").path)
        pictures = sorted(page.parent.glob("*.jpg"))
        assert len(pictures) == 4
        picture = picture_at(pictures[0])
        assert picture.shape[1] > 2 * picture.shape[0]  # two frames beside one another
        assert all(p.name in page.read_text() for p in pictures)
        assert_still_judges(agent, line, first)
        assert not any(v.state.value == "NG" for v in line.verdicts)


def test_a_person_decides_where_the_slot_says_so(tmp_path: Path) -> None:
    """With promote = "hand" a compared candidate waits, is turned down, or is let in."""
    rules = 'shadow_parts = 2\nprobation_parts = 0\npromote = "hand"'
    with device(write_config(tmp_path, rules)) as (agent, line):
        first = begin(agent, line, tmp_path, parts=1)
        answers: list[bool] = []
        for promote, end in ((False, "refused"), (True, "committed")):
            agent.reports.clear()
            agent.agent.install(release(tmp_path, 2, ALL_BAD), "main", "file")
            wait_until(lambda: any("slots promote" in r.reason for r in agent.reports), 20)
            assert agent.store.active("main") == first
            agent.agent.decide("main", promote, lambda ok, _text: answers.append(ok))
            assert agent.outcome().state == end
        assert answers == [True, True]


def test_a_model_that_raises_more_alarms_takes_itself_back(tmp_path: Path) -> None:
    """In its probation it calls every part bad: after a few parts the old one judges again, and no
    part in between went without a verdict."""
    with device(write_config(tmp_path, "shadow_parts = 0\nprobation_parts = 50")) as (agent, line):
        first = begin(agent, line, tmp_path, parts=12)
        began = next(i for i, v in enumerate(line.verdicts) if v.model)
        ended = agent.install(release(tmp_path, 2, ALL_BAD))
        assert ended.state == "rolled_back"
        assert "raised an alarm; with the model before it were 0 of" in ended.reason
        assert_still_judges(agent, line, first)
        judged = line.verdicts[began:]
        assert 2 <= sum(v.state.value == "NG" for v in judged) < 50
        assert not any(v.state.value == "NOT_INSPECTED" for v in judged)


def test_a_changeover_during_the_comparison_goes_first(tmp_path: Path) -> None:
    """A person at the line does not wait for a comparison: the candidate is given up, with the
    reason, and the product changes."""
    with device(write_config(tmp_path)) as (agent, line):
        begin(agent, line, tmp_path, parts=1)
        assert agent.install(release(tmp_path, 1, product="beta")).state == "committed"
    config = write_config(tmp_path, "shadow_parts = 5000\nprobation_parts = 5000")
    with device(config) as (agent, line):
        agent.agent.install(release(tmp_path, 2, product="beta"), "main", "push")
        wait_until(lambda: "shadow" in agent.states(), 20)
        is_ok, text = agent.select("alpha")
        assert is_ok, text
        assert agent.outcome().state == "refused"
        assert "changeover" in agent.outcome().reason
        wait_until(lambda: line.judges == "alpha 1")


def test_the_agent_may_come_and_go(tmp_path: Path) -> None:
    """Stopped in a probation and started again, it goes on with it and commits; the line never
    notices."""
    config = write_config(tmp_path, "shadow_parts = 0\nprobation_parts = 60")
    with device(config) as (agent, line):
        begin(agent, line, tmp_path)
        agent.agent.install(release(tmp_path, 2), "main", "file")
        wait_until(lambda: "probation" in agent.states())
        agent.stop()
        intent = agent.store.intent("main")
        assert intent is not None
        assert intent.phase == "probation"
        again = Device(config)
        again.agent.start()
        try:
            assert again.outcome().state == "committed"
        finally:
            again.stop()
        assert again.store.intent("main") is None
        assert "lost" not in line.unjudged


def test_without_inspection_an_installation_is_refused(tmp_path: Path) -> None:
    """Nobody can try it on the line: the reason says what to start."""
    config = write_config(tmp_path)
    config.write_text(
        config.read_text().replace("inspection_wait_s = 5.0", "inspection_wait_s = 0.2")
    )
    half = Device(config)
    half.agent.start()
    ended = half.install(release(tmp_path, 1))
    half.stop()
    assert ended.state == "refused"
    assert "edge-app run is not there" in ended.reason
    assert half.store.active("main") is None


def bad_manifest(**changes: object) -> Manifest:
    """Return a manifest whose one variant is changed."""
    plain = manifest_of("alpha", 2)
    return plain.model_copy(update={"variants": (plain.variants[0].model_copy(update=changes),)})


GOOD, PLAIN = "bright_inspector", manifest_of("alpha", 2)
BAD_BUNDLES = [
    ("an ONNX that never answers", PLAIN, "endless_inspector", "died of SIGXCPU"),
    ("an ONNX that eats the memory", PLAIN, "greedy_inspector", "allocate memory"),
    ("an ONNX that returns NaN", PLAIN, "nan_inspector", "score is nan"),
    ("a golden score that differs", manifest_of("alpha", 2, golden_shift=20.0), GOOD, "from 120"),
    (
        "a golden verdict that flips",
        bad_manifest(thresholds=manifest_of(threshold=90.0).variants[0].thresholds),
        GOOD,
        "the verdict is NG (100), expected OK",
    ),
    ("a model that is too slow", bad_manifest(tolerances=Tolerances(latency_ms=0.001)), GOOD,
     "0 ms are allowed"),
    ("no golden pictures", bad_manifest(golden=()), GOOD, "no golden pictures"),
]  # fmt: skip


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Device, Line, str]]:
    """Return a device whose first bundle judges, and that bundle's digest."""
    folder = tmp_path_factory.mktemp("judging")
    with device(write_config(folder)) as (agent, line):
        yield agent, line, begin(agent, line, folder, parts=1)


@pytest.mark.parametrize(
    ("manifest", "graph", "reason"),
    [case[1:] for case in BAD_BUNDLES],
    ids=[case[0] for case in BAD_BUNDLES],
)
def test_a_bundle_that_misbehaves_never_reaches_the_line(
    judging: tuple[Device, Line, str], tmp_path: Path, manifest: Manifest, graph: str, reason: str
) -> None:
    """Refused in the throw-away process, with the reason; the old model goes on judging and nothing
    of the new one is left."""
    agent, line, first = judging
    kept = sorted(agent.store.root.rglob("*.bundle"))
    ended = agent.install(write_release(tmp_path / "bad.bundle", manifest, graph))
    assert ended.state == "refused"
    assert reason in ended.reason.replace("std::bad_alloc", "allocate memory")  # ONNX Runtime 1.23
    assert "verifying" in agent.states()
    assert sorted(agent.store.root.rglob("*.bundle")) == kept
    assert_still_judges(agent, line, first)


def test_too_little_memory_for_two_models(tmp_path: Path) -> None:
    """The inspection process refuses to load a second model that would not fit."""
    with device(write_config(tmp_path)) as (agent, line):
        first = begin(agent, line, tmp_path, parts=1)
        loader = line.app._slots._activation._loader  # type: ignore[union-attr]
        loader._free_mb = lambda: 10
        ended = agent.install(release(tmp_path, 2))
        assert ended.state == "refused"
        assert "too little memory for a second model: 10 MB are available" in ended.reason
        assert_still_judges(agent, line, first)


def test_an_idle_line_is_switched_too(tmp_path: Path) -> None:
    """No trigger for seconds: the switch does not wait for a part."""
    url = "sim:tapered?mode=triggered&rate=0.01"
    with device(write_config(tmp_path, url=url)) as (agent, _line):
        assert agent.install(release(tmp_path, 1)).state == "committed"
        began = time.monotonic()
        assert agent.install(release(tmp_path, 1, product="beta")).state == "committed"
        is_ok, text = agent.select("alpha")
        assert is_ok, text
        assert time.monotonic() - began < 20
