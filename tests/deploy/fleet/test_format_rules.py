"""Which devices can judge with a bundle of format 2, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.fleet.format_rules import release_of, why_unable
from deploy.fleet.pointer import Offer
from edge_app.bundle.manifest import FEATURES, FORMAT_2, FORMATS
from edge_app.mqtt.messages import DeviceInfo

PLAIN = Offer("screws", 3, "0" * 64, 1, "https://station.plant/a.bundle")
OFFER = replace(PLAIN, format=FORMAT_2, requires=("fixed_region", "suspect_limit"))
BY_0_1_0 = b'{"schema_version": 1, "hardware": "x", "versions": {"cropliq-edge-device": "0.1.0"}}'
"""What release 0.1.0 says of itself: nothing of formats."""


def info(**changed: object) -> DeviceInfo:
    about = {"hardware": "x", "versions": {"cropliq-edge": "0.2.0"}, "bundle_formats": FORMATS}
    return DeviceInfo.model_validate({**about, "bundle_features": FEATURES, **changed})


def test_a_device_that_knows_everything_gets_it() -> None:
    """Nothing is said."""
    assert why_unable(OFFER, info()) is None


def test_format_1_suits_every_device() -> None:
    """Also one that has never said anything."""
    assert why_unable(PLAIN, None) is None
    assert why_unable(PLAIN, DeviceInfo.model_validate_json(BY_0_1_0)) is None


def test_release_0_1_0_is_named_with_what_to_do() -> None:
    """Its info has no formats: it knows format 1 alone."""
    assert why_unable(OFFER, DeviceInfo.model_validate_json(BY_0_1_0)) == (
        "release 0.1.0 knows cropliq-bundle/1 only, and this bundle is cropliq-bundle/2 "
        "(fixed_region, suspect_limit): update the device first, or build it with "
        "edge-export build --format 1"
    )


def test_a_missing_feature_is_named() -> None:
    """A device of a release in between."""
    why = why_unable(OFFER, info(bundle_features=("fixed_region",)))
    assert why is not None
    assert why.startswith("release 0.2.0 does not know suspect_limit, and this bundle is")


def test_a_device_that_never_said_anything_gets_no_format_2() -> None:
    """Nobody knows what runs there."""
    assert "has sent no info" in str(why_unable(OFFER, None))


@pytest.mark.parametrize(
    ("versions", "release"),
    [
        ({"numpy": "2"}, "unknown"),
        ({"cropliq-edge": "1", "cropliq-edge-device": "2"}, "2"),
    ],
)
def test_the_release_is_that_of_our_package(versions: dict[str, str], release: str) -> None:
    """The device's own package counts before the workstation's."""
    assert release_of(info(versions=versions)) == release
