"""What messages say and what they never say."""

from __future__ import annotations

import dataclasses
import json
import random
import re

import numpy as np
import pytest
from pydantic import ValidationError
from support.alert_drafts import WHO, as_draft, bad_part, draft, gap_event, new_event

from edge_app.errors import ConfigError
from edge_app.imaging.camera_calibration import Geometry
from edge_app.mqtt.messages import GapBody, alert_from_event, result_from_verdict
from edge_app.mqtt.timestamps import UUID7_PATTERN, epoch_ns, rfc3339, uuid7
from edge_app.mqtt.topics import DeviceName, Topics, alert_filter
from edge_app.records import AlarmEvent, Defect, EventKind, Evidence


def test_an_alert_says_who_when_what_where_and_by_which_model() -> None:
    """Every fact of the verdict stands in the alert."""
    evidence = Evidence("http://127.0.0.1:8080/e/1.jpg", "cd" * 32)
    body = json.loads(draft(42, evidence=evidence).model_dump_json())
    who = {k: body[k] for k in ("site", "line", "device", "camera", "part_id", "trigger_id")}
    assert who == {"site": "graz", "line": "line-2", "device": "press-3", "camera": "cam1",
                   "part_id": "cam1-18f3a2-000042", "trigger_id": "t42"}  # fmt: skip
    assert epoch_ns(body["captured_at"]) == bad_part(42).captured_at_ns
    assert body["clock_synchronised"] is True
    assert (body["verdict"], body["score"], body["threshold"]) == ("NG", 4.5, 3.0)
    assert body["threshold_id"] == "calibrated-1"
    assert body["frame_hw"] == [480, 640]
    assert body["product_corners_xy"][2] == [90.0, 60.0]
    assert body["defects"][0]["box_xyxy"] == [12.0, 22.0, 20.0, 30.0]
    assert body["model"] == {"product": "screw", "serial": 7, "bundle_sha256": "ab" * 32,
                             "precision": "fp32"}  # fmt: skip
    assert body["evidence"] == {"url": evidence.url, "sha256": evidence.sha256}


def test_a_calibrated_camera_tells_a_defect_in_millimetres_too() -> None:
    """At a quarter of a millimetre a pixel: 8 x 8 px become 2 x 2 mm; without a plane, null."""
    plane = Geometry((480, 640), None, np.diag([0.25, 0.25, 1.0]), {})
    event = new_event(1)
    alert = alert_from_event(
        event, WHO, message_id=draft(1).message_id, clock_synchronised=True, geometry=plane
    )
    extent = alert.defects[0].extent
    assert extent is not None
    assert extent.size_mm == pytest.approx((2.828, 1.414), abs=0.01)  # half a square: its diagonal
    assert extent.area_mm2 == pytest.approx(2.0, abs=0.01)
    assert alert.defects[0].box_xyxy == (12.0, 22.0, 20.0, 30.0)
    assert as_draft(event).defects[0].extent is None


def test_pictures_of_another_size_have_no_millimetres() -> None:
    """A camera whose picture shrank since its calibration: null, never a wrong length."""
    plane = Geometry((240, 320), None, np.eye(3), {})
    result = result_from_verdict(
        bad_part(1), WHO, clock_synchronised=True, published_at_ns=1, geometry=plane
    )
    assert result.defects[0].extent is None


def test_a_broken_outline_has_no_millimetres_and_costs_no_alert() -> None:
    """NaN among the corners: the box is told, the extent is null."""
    outline = ((1.0, float("nan")), (2.0, 2.0), (3.0, 3.0))
    part = dataclasses.replace(bad_part(1), defects=(Defect(outline, (0.0, 0.0, 2.0, 1.0), 1.0),))
    plane = Geometry((480, 640), None, np.eye(3), {})
    result = result_from_verdict(
        part, WHO, clock_synchronised=True, published_at_ns=1, geometry=plane
    )
    assert result.defects[0].extent is None


def test_a_gap_names_the_first_and_last_lost_number() -> None:
    """A gap carries numbers, count and reason, and no verdict."""
    alert = as_draft(gap_event(10, 14))
    assert alert.event == "gap"
    assert alert.gap == GapBody(first_number=10, last_number=14, count=5, reason="restart")
    assert (alert.verdict, alert.part_id, alert.captured_at) == (None, None, None)


def test_numbers_that_are_not_finite_become_null_and_the_alert_survives() -> None:
    """NaN from a graph neither reaches the JSON nor costs the alert."""
    outline = ((1.0, float("nan")), (2.0, 2.0), (3.0, 3.0))
    broken = dataclasses.replace(
        bad_part(1),
        score=float("nan"),
        latency_ms=float("inf"),
        product_corners_xy=((float("nan"), 0.0), (1.0, 1.0)),
        defects=(
            Defect(outline, (0.0, 0.0, float("inf"), 1.0), 1.0),
            Defect(outline, (0.0, 0.0, 2.0, 1.0), float("nan")),
        ),
    )
    event = AlarmEvent(EventKind.NEW, "cam1", "a", broken)
    text = as_draft(event).model_dump_json()
    body = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert body["score"] is None
    assert body["latency_ms"] is None
    assert body["product_corners_xy"] == [[1.0, 1.0]]
    assert len(body["defects"]) == 1
    assert body["defects"][0]["peak"] is None


def test_numpy_numbers_become_plain_ones() -> None:
    """Coordinates straight from an array are published as JSON numbers."""
    corner = (np.float32(1.25), np.float64(2.5))
    verdict = dataclasses.replace(bad_part(1), product_corners_xy=(corner,), score=np.float32(3.5))
    body = as_draft(AlarmEvent(EventKind.NEW, "cam1", "a", verdict))
    assert json.loads(body.model_dump_json())["product_corners_xy"] == [[1.25, 2.5]]
    assert body.score == 3.5


def test_a_result_says_the_same_of_a_part_as_its_alert() -> None:
    """Alerts and results share their fields."""
    result = result_from_verdict(
        bad_part(3), WHO, clock_synchronised=True, published_at_ns=1_790_000_001_000_000_000
    )
    alert = draft(3)
    shared = set(result.model_dump()) - {"published_at", "is_suspect"}
    assert {k: result.model_dump()[k] for k in shared} == {k: alert.model_dump()[k] for k in shared}


def test_a_message_id_must_be_a_uuid_version_7() -> None:
    """An id of another kind is refused when the alert is made."""
    with pytest.raises(ValidationError, match="message_id"):
        alert_from_event(new_event(1), WHO, message_id="17", clock_synchronised=True)


def test_uuid7_carries_the_millisecond_and_is_never_the_same() -> None:
    """Ids sort by time, match RFC 9562's layout and do not repeat."""
    bits = random.Random(5).getrandbits
    ids = [uuid7(1_790_000_000_000_000_000 + i * 1_000_000, bits) for i in range(200)]
    assert ids == sorted(set(ids))
    assert int(ids[0].replace("-", "")[:12], 16) == 1_790_000_000_000
    assert all(re.match(UUID7_PATTERN, i) for i in ids)


def test_uuid7s_of_one_millisecond_sort_too() -> None:
    """An id made a microsecond later is the larger one: a newer push is told from an older."""
    bits = random.Random(6).getrandbits
    start_ns = 1_790_000_000_000_000_000
    ids = [uuid7(start_ns + i * 1_000, bits) for i in range(1_000)]
    assert ids == sorted(set(ids))
    assert len({i[:13] for i in ids}) == 1


@pytest.mark.parametrize("at_ns", [0, 1, 999_999_999, 1_790_000_000_000_000_001])
def test_times_come_back_to_the_nanosecond(at_ns: int) -> None:
    """Text and nanoseconds say the same."""
    assert epoch_ns(rfc3339(at_ns)) == at_ns


def test_a_hand_computed_time() -> None:
    """One day, one second and one nanosecond after the epoch."""
    assert rfc3339(86_401_000_000_001) == "1970-01-02T00:00:01.000000001Z"


@pytest.mark.parametrize("name", ["", "a/b", "a+", "#", "a b", "a\n", "$SYS", "x" * 65])
def test_names_that_would_break_a_topic_are_refused(name: str) -> None:
    """A device name is one level of a topic and the message says what is allowed."""
    with pytest.raises(ConfigError, match="cannot be part of an MQTT topic"):
        DeviceName("graz", "line", name)


def test_topics_lie_below_the_devices_own_root() -> None:
    """Every topic begins with the device's root; the filter for alerts matches the alert topic."""
    topics = Topics(WHO)
    assert topics.alert("cam1") == "inspect/v1/graz/line-2/press-3/cam/cam1/alert"
    assert topics.status == "inspect/v1/graz/line-2/press-3/status"
    assert alert_filter(device="press-3") == "inspect/v1/+/+/press-3/cam/+/alert"
