"""Whether a device can judge with a bundle, by what its `info` says. Pure.

The agent refuses such a bundle itself; asked beforehand, nothing is sent and the words are ours.
"""

from __future__ import annotations

from deploy.fleet.pointer import Offer
from edge_app.bundle.manifest import FORMAT_1
from edge_app.mqtt.messages import DeviceInfo

PACKAGES = ("cropliq-edge-device", "cropliq-edge")
"""Whose version is the release: a device has the first, a workstation the second."""


def why_unable(offer: Offer, info: DeviceInfo | None) -> str | None:
    """Return why a device cannot judge with a bundle and what to do; None if it can.

    Every release judges with format 1. One that names no formats in `info` is 0.1.0 and knows no
    other.
    """
    if offer.format == FORMAT_1:
        return None
    what = f"this bundle is {offer.format} ({', '.join(offer.requires)})"
    if info is None:
        return (
            f"{what}, and the device has sent no info to say that it knows it: start edge-app run"
        )
    known = info.bundle_formats or (FORMAT_1,)
    lacks = [f for f in offer.requires if f not in info.bundle_features]
    if offer.format not in known:
        knows = f"knows {', '.join(known)} only, and {what}"
    elif lacks:
        knows = f"does not know {', '.join(lacks)}, and {what}"
    else:
        return None
    return (
        f"release {release_of(info)} {knows}: update the device first, "
        "or build it with edge-export build --format 1"
    )


def release_of(info: DeviceInfo) -> str:
    """Return a device's release; "unknown" where it does not say."""
    return next((info.versions[p] for p in PACKAGES if p in info.versions), "unknown")
