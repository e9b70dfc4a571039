"""Messages about the device and its cameras: status, info, health, states and alarm levels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_app.mqtt.message_base import Body, Count, Message, Rfc3339
from edge_app.mqtt.part_messages import ModelBody

StatusName = Literal["online", "stopped", "offline", "degraded"]
CameraStateName = Literal[
    "capturing", "impaired", "blind", "waiting_for_trigger", "stalled", "reconnecting", "ended"
]


class CameraAlarmLevel(Message):
    """`cam/{c}/alarm`: on or off, for lamps and PLCs. Valid only while `status` is online."""

    camera: str
    is_on: bool
    part_id: str | None = Field(default=None, description="the part that switched it on")
    since: Rfc3339
    session: int = Field(ge=1)


class CameraState(Message):
    """`cam/{c}/state`: what the frame source is doing."""

    camera: str
    state: CameraStateName
    reason: str = ""
    since: Rfc3339
    session: int = Field(ge=1)


class DeviceStatus(Message):
    """`status`: is anybody inspecting? `offline` is the last will, sent by the broker."""

    state: StatusName
    reason: str = ""
    session: int = Field(ge=1)
    since: Rfc3339 | None = Field(description="null in the last will: the broker sends it later")


class CameraDescription(Body):
    """One camera as configured."""

    name: str
    url: str = Field(description="without passwords")
    mode: str
    slot: str = "main"


class SlotDescription(Body):
    """One slot and the bundle active in it."""

    slot: str
    model: ModelBody | None = None
    threshold_id: str | None = None


class DeviceInfo(Message):
    """`info`: what this device is."""

    hardware: str
    versions: dict[str, str] = Field(default_factory=dict, description="package → version")
    cameras: tuple[CameraDescription, ...] = ()
    slots: tuple[SlotDescription, ...] = ()
    bundle_formats: tuple[str, ...] = Field(
        default=(), description="formats it can judge with; missing: cropliq-bundle/1 only"
    )
    bundle_features: tuple[str, ...] = Field(
        default=(), description="features of cropliq-bundle/2 that it knows"
    )
    audit_head: str = Field(
        default="", description="HASH:COUNT of the audit's last record; keep it elsewhere"
    )


class CameraHealth(Body):
    """One camera's counters since the start, and its rates over the last period."""

    camera: str
    state: str = Field(default="", description="as on the page, e.g. capturing, no_bundle")
    reason: str = Field(default="", description="why, at present")
    frames_per_second: float = 0.0
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    frames: Count = 0
    frames_skipped: Count = 0
    frames_captured: Count = Field(default=0, description="delivered by the camera")
    frames_missed: Count = Field(default=0, description="lost between camera and device")
    frames_repeated: Count = Field(default=0, description="the picture before again; not judged")
    frames_unusable: Count = Field(default=0, description="black or white; not judged")
    frames_corrupt: Count = Field(default=0, description="could not be read")
    reconnects: Count = Field(default=0, description="openings after the first")
    parts: Count = 0
    parts_ng: Count = 0
    parts_not_inspected: Count = 0
    parts_suspect: Count = Field(default=0, description="OK, but close to the threshold")
    defects_unclassified: Count = Field(
        default=0, description="left unknown because the classifier failed on them"
    )
    queue_depth: Count = 0


class OutboxHealth(Body):
    """How the alarm store is doing."""

    depth: Count = Field(description="alerts waiting for the broker")
    max_messages: Count
    counted_only: Count = Field(description="alerts at the limit, kept as a number only")
    reserve_released: bool = Field(description="the disk is full and the reserve is in use")
    note: str = Field(default="", description="what was repaired, if anything")
    lost: Count = Field(
        default=0, description="stored alerts that damage has cost since the start; told as gaps"
    )
    dead_letters: Count = Field(default=0, description="damaged alerts that were put aside")
    in_memory: Count = Field(
        default=0, description="alerts waiting in memory only: the disk does not take them"
    )
    store_id: str = Field(default="", description="the numbering in use")


class MessageCounts(Body):
    """Messages that did not go, or come, as they should; since the start unless said otherwise."""

    shortened: Count = Field(
        default=0, description="alerts sent without all they hold: the broker takes no more"
    )
    set_aside: Count = Field(
        default=0, description="alerts that the broker does not take now; kept and tried again"
    )
    unsendable: Count = Field(
        default=0, description="other messages that are larger than the broker takes now"
    )
    foreign: Count = Field(
        default=0, description="messages of others on the device's alert topics; passed over"
    )
    foreign_kept: Count = Field(
        default=0, description="those among them that were written to the dead-letter file"
    )


class AuditFigures(Body):
    """The record of who changed what on this device."""

    head: str = Field(default="", description="HASH:COUNT of its last record; keep it elsewhere")
    waiting: Count = Field(default=0, description="records in memory: the disk takes none")
    trouble: str = Field(default="", description="why nothing is recorded, or what was changed")


class Attention(Body):
    """One subject that is not as it should be, in the words of page and `edge-app health`."""

    subject: str = Field(description="e.g. cameras, broker, disk")
    level: Literal["warn", "bad"]
    key: str = Field(description="of the sentence, for translations, e.g. disk.low")
    text: str
    what_to_do: str = Field(default="", description="empty where there is nothing to do")


class Health(Message):
    """`health`: figures for people and dashboards. QoS 0."""

    session: int = Field(ge=1)
    at: Rfc3339
    uptime_s: float = Field(ge=0)
    cameras: tuple[CameraHealth, ...] = ()
    outbox: OutboxHealth | None = None
    results_dropped: Count = 0
    messages: MessageCounts | None = None
    temperature_c: float | None = None
    disk_free_bytes: Count | None = None
    clock_synchronised: bool | None = Field(
        default=None, description="whether the clock follows a time source now; null: unknown"
    )
    clock_jumps: Count = Field(
        default=0, description="how often it was set by more than a minute since the start"
    )
    audit: AuditFigures | None = None
    attention: tuple[Attention, ...] = Field(
        default=(), description="what is not as it should be; missing: not said"
    )
