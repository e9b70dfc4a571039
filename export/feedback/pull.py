"""`edge-export pull`: from the devices' decisions to a data set; the same command goes on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from pydantic import ValidationError

from edge_app.errors import DataError
from edge_app.imaging.picture_header import read_header
from edge_app.records import PointXy
from export.feedback.device import GoneError
from export.feedback.device_part import DevicePart
from export.feedback.folder import FeedbackFolder, mask_of
from export.feedback.records import Provenance
from export.feedback.rulings import Ruling, ruling_of

MAX_PIXELS = 200 << 20
"""A header's own numbers never decide how large a mask is."""

OnProgress = Callable[[str, float], None]
"""Takes a text for people and the share that is done."""


class Source(Protocol):
    """Where reviewed parts come from."""

    name: str

    def reviewed_parts(self) -> Iterable[object]:
        """Yield parts as the API's `Part`, not yet checked."""

    def picture(self, evidence_url: str) -> bytes:
        """Return a picture's bytes; raises `GoneError`."""


@dataclass(slots=True)
class PullResult:
    """What one pull did.

    Attributes:
        uses: parts by their use, of this pull's devices.
        fetched: pictures that were not here before.
        damaged: parts whose picture has other bytes than the device recorded; not kept.
        disputed: parts whose reviewers contradict each other.
        wrong: parts that the device described in a way that is not understood.
    """

    uses: Counter[str] = field(default_factory=Counter)
    fetched: int = 0
    damaged: list[str] = field(default_factory=list)
    disputed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def pull(
    source: Source,
    folder: FeedbackFolder,
    with_proposals: bool,
    on_progress: OnProgress = lambda _text, _share: None,
    into: PullResult | None = None,
) -> PullResult:
    """Bring a set up to date with one device.

    Parts whose mark was taken back or that are proposals only are put aside, and what was kept of
    them before goes away.

    Raises:
        BrokerError, ConfigError, DataError: as `Device`; what was fetched stays.
        OSError: the folder cannot be written.
    """
    result = into or PullResult()
    parts = list(source.reviewed_parts())
    for number, found in enumerate(parts):
        on_progress(f"part {number + 1} of {len(parts)} of {source.name}", number / len(parts))
        try:
            part = DevicePart.model_validate(found)
        except ValidationError:
            result.wrong.append(_name_of(found))
            continue
        ruling = ruling_of(part, with_proposals)
        if ruling is not None:
            _keep(source, folder, part, ruling, result)
    on_progress(f"{len(parts)} parts of {source.name}", 1.0)
    return result


def _keep(
    source: Source, folder: FeedbackFolder, part: DevicePart, ruling: Ruling, result: PullResult
) -> None:
    record = _record(source.name, part, ruling)
    if ruling.use == "disputed":
        result.disputed.append(record.part_id)
    known = folder.records.get(record.key)
    if ruling.use == "proposed":
        result.uses["proposed"] += 1
        if known is None or known.use != "proposed":
            folder.put(record, None, None)
        return
    try:
        jpeg, is_new = _picture(source, folder, part, record)
    except GoneError:
        result.uses["gone"] += 1
        gone = replace(record, use="gone", mask_from="")
        if not folder.is_same(gone):
            folder.put(gone, None, None)
        return
    header = read_header(jpeg)
    is_whole = hashlib.sha256(jpeg).hexdigest() == record.sha256
    if not is_whole or header is None or header.hw[0] * header.hw[1] > MAX_PIXELS:
        result.damaged.append(record.part_id)
        return
    result.uses[record.use] += 1
    result.fetched += is_new
    polygons, mask_from = _polygons(part, ruling)
    record = replace(record, mask_from=mask_from)
    if not folder.is_same(record):
        mask = mask_of(polygons, header.hw) if polygons else None
        folder.put(record, jpeg, mask)


def _picture(
    source: Source, folder: FeedbackFolder, part: DevicePart, record: Provenance
) -> tuple[bytes, bool]:
    """Return a part's picture and whether it had to be fetched."""
    known = folder.records.get(record.key)
    if known is not None and known.sha256 == record.sha256 and folder.has_picture(known):
        return folder.picture(known), False
    return source.picture(part.evidence_url or ""), True


def _polygons(part: DevicePart, ruling: Ruling) -> tuple[list[tuple[PointXy, ...]], str]:
    """Return where the defect is and who says so: a person's region, else the device's marks."""
    if ruling.use == "defect" and ruling.region_xy:
        return [ruling.region_xy], "person"
    found = [d.polygon for d in part.defects if d.polygon]
    if ruling.use == "defect" and part.state == "NG" and found:
        return found, "device"
    return [], ""


def _record(device: str, part: DevicePart, ruling: Ruling) -> Provenance:
    return Provenance(
        device=device,
        part_id=part.part_id,
        captured_at=part.captured_at,
        camera=part.camera,
        use=ruling.use,
        file="",
        mask="",
        mask_from="",
        sha256=part.evidence_sha256 or "",
        verdict=part.state,
        is_suspect=part.is_suspect,
        score=part.score,
        threshold=part.threshold,
        threshold_id=part.threshold_id,
        product=part.product or "",
        serial=part.serial or 0,
        bundle_sha256=part.bundle_sha256 or "",
        defect_class=ruling.defect_class,
        reviewers=ruling.reviewers,
        is_accepted=ruling.is_accepted,
        note=ruling.note,
        kept_for=part.kept_for,
        corners=part.corners,
    )


def _name_of(found: object) -> str:
    name = found.get("part_id") if isinstance(found, dict) else None
    return str(name)[:100]


def check_something(result: PullResult) -> None:
    """Refuse a pull that found nothing that can be learnt from.

    Raises:
        DataError: says what there was instead.
    """
    if result.uses["good"] or result.uses["defect"]:
        return
    raise DataError(
        "no part has a mark that counts"
        + (
            f"; {result.uses['proposed']} have marks that no engineer has accepted: accept them on "
            "the page, or take them as they are with --proposals"
            if result.uses["proposed"]
            else ": mark parts on the device's page first"
        )
        + "."
    )
