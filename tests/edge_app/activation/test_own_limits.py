"""Limits of one bundle, precision and slot: in their range, kept, taken back step by step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.small_bundles import write_bright_bundle

from edge_app.activation.model_loader import Ready
from edge_app.activation.own_limits import SET, UNDONE, OwnLimit, OwnLimits, new_limit
from edge_app.activation.slots import with_overrides
from edge_app.bundle.archive import read_bundle
from edge_app.errors import OrderError
from edge_app.inspection.judge import Limits
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.records import ModelIdentity


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    bundle = write_bright_bundle(tmp_path_factory.mktemp("b") / "a.bundle")
    return load_model(read_bundle(bundle)).with_limits(Limits(150.0, 200.0, "bundle", 120.0, 0.9))


def ready_of(model: LoadedModel, digest: str = "a", precision: str = "fp32") -> Ready:
    sha256 = digest * 64
    return Ready(sha256, replace(model, identity=ModelIdentity("p", 1, sha256, precision)), "no")


def record(seq: int, limit: OwnLimit, event: str = SET, slot: str = "main") -> dict[str, Any]:
    new = limit.model_dump(mode="json")
    return {"event": event, "subject": slot, "new": new, "seq": seq, "hash": f"{seq:064x}"}


RANGES = {
    "nothing is given": ((None, None, None), "No threshold is given"),
    "a slip of the finger": ((15_000.0, None, None), "out of range"),
    "a tenth and less": ((14.0, None, None), "out of range"),
    "a negative one": ((-1.0, None, None), "out of range"),
    "a map limit far off": ((None, None, 1.0), "out of range"),
    "suspect at the limit": ((140.0, 140.0, None), "not below the limit 140"),
    "suspect above the present limit": ((None, 151.0, None), "not below the limit 150"),
}


@pytest.mark.parametrize("name", RANGES)
def test_values_out_of_range_are_refused(model: LoadedModel, name: str) -> None:
    """With what was expected."""
    values, match = RANGES[name]
    with pytest.raises(OrderError, match=match):
        new_limit(ready_of(model), "limit-1", *values)


def test_what_is_not_given_stays_and_suspect_never_above_the_limit(model: LoadedModel) -> None:
    """A limit below the present suspect limit leaves none: no part could be suspect."""
    ready = ready_of(model)
    kept = new_limit(ready, "x", 160.0, None, None)
    assert (kept.score_threshold, kept.map_threshold, kept.suspect_threshold) == (160, 200, 120)
    assert new_limit(ready, "x", 110.0, None, None).suspect_threshold is None
    assert new_limit(ready, "x", None, 100.0, 210.0).score_threshold == 150


def test_it_holds_for_its_bundle_precision_and_slot_only(
    tmp_path: Path, model: LoadedModel
) -> None:
    """With another one it lapses; back to the same one, the scale is the same and it holds."""
    own, ready = OwnLimits(tmp_path / "limits.json"), ready_of(model)
    own.follow([record(2, new_limit(ready, "limit-1", 90.0, None, None))])
    for other in (ready_of(model, "b"), ready_of(model, precision="fp16")):
        assert own.applied("main", other) is other
    assert own.applied("second", ready) is ready
    now = own.applied("main", ready)
    assert now.model.limits == Limits(90.0, 200.0, "limit-1", None, 0.9)
    assert now.bundle_limits == ready.model.limits
    assert own.applied("main", now) is now


def test_undo_goes_back_step_by_step(tmp_path: Path, model: LoadedModel) -> None:
    """To the limit before, with its id, and in the end to the bundle's own; over restarts."""
    path, ready = tmp_path / "limits.json", ready_of(model)
    own = OwnLimits(path)
    for seq, value in ((2, 90.0), (3, 95.0)):
        now = own.applied("main", ready)
        own.follow([record(seq, new_limit(now, f"limit-{seq}", value, None, None))])
    for seq, expected in ((4, "limit-2"), (5, "bundle")):
        own = OwnLimits(path)
        top = own.changes("main", ready)[-1]
        own.follow([record(seq, top, UNDONE)])
        assert own.applied("main", own.applied("main", ready)).model.limits.threshold_id == expected
    assert OwnLimits(path).applied("main", ready) is ready
    assert OwnLimits(path).head.count == 5


def test_recall_measured_at_the_bundles_limit_holds_below_it(
    tmp_path: Path, model: LoadedModel
) -> None:
    """A higher limit finds fewer; what was measured is not claimed for it."""
    own, ready = OwnLimits(tmp_path / "limits.json"), ready_of(model)
    own.follow([record(2, new_limit(ready, "limit-1", 160.0, None, None))])
    assert own.applied("main", ready).model.limits.clear_recall is None


@pytest.mark.parametrize("data", [b"", b"{", b"\0" * 600, b'{"format": "cropliq-limits/9"}'])
def test_a_damaged_file_follows_from_the_audit_again(
    tmp_path: Path, model: LoadedModel, data: bytes
) -> None:
    """All records from the first: the same limits."""
    path, ready = tmp_path / "limits.json", ready_of(model)
    records = [record(2, new_limit(ready, "limit-1", 90.0, None, None))]
    OwnLimits(path).follow(records)
    path.write_bytes(data)
    own = OwnLimits(path)
    assert own.head.count == 0
    own.follow(records)
    assert OwnLimits(path).applied("main", ready).model.limits.threshold_id == "limit-1"


def test_records_that_hold_no_limit_are_passed_over(tmp_path: Path, model: LoadedModel) -> None:
    """Of other events, damaged or of a later release."""
    own, ready = OwnLimits(tmp_path / "limits.json"), ready_of(model)
    good = record(5, new_limit(ready, "limit-1", 90.0, None, None))
    own.follow([
        {**good, "event": "user_added"}, {**good, "new": None}, {**good, "new": {"a": 1}},
        {**good, "subject": 7}, {**good, "new": {**good["new"], "score_threshold": "x"}},
    ])  # fmt: skip
    assert own.applied("main", ready) is ready


def test_a_file_that_cannot_be_written_costs_nothing_now(
    tmp_path: Path, model: LoadedModel
) -> None:
    """The limit holds; the audit has it for the next start."""
    own, ready = OwnLimits(tmp_path / "none" / "limits.json"), ready_of(model)
    own.follow([record(2, new_limit(ready, "limit-1", 90.0, None, None))])
    assert own.applied("main", ready).model.limits.score_threshold == 90


def test_an_override_of_the_configuration_has_an_id_per_content(
    tmp_path: Path, model: LoadedModel
) -> None:
    """Two values never share a name; the same ones do."""
    from types import SimpleNamespace

    from edge_app.config.model import ThresholdConfig

    def overridden(value: float) -> str:
        threshold = ThresholdConfig(score_threshold=value, reason="a good reason")
        config: Any = SimpleNamespace(threshold=threshold)
        return with_overrides(model, config).limits.threshold_id

    assert overridden(160.0) == overridden(160.0) != overridden(161.0)
    assert overridden(160.0).startswith("device-override-")
