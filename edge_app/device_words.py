"""The English of a device's health: headlines, what to do, and plain words for errors. No IO."""

from __future__ import annotations

import errno
import os
import re

HEADLINES: dict[str, str] = {
    "unknown": "Not known: inspection does not answer.",
    "cameras.none": "No camera has reported yet.",
    "cameras.good": "All {count} cameras deliver pictures.",
    "cameras.others": "Other cameras that are not as they should be: {count}.",
    "camera.good": "Camera {camera} delivers pictures.",
    "camera.starting": "Camera {camera} is starting.",
    "camera.impaired": "The pictures of camera {camera} have changed.",
    "camera.degraded": "Parts of camera {camera} are judged with reservations.",
    "camera.blind": "Camera {camera} has no usable picture: its parts are not inspected.",
    "camera.stalled": "Camera {camera} has stopped sending pictures: its parts are not inspected.",
    "camera.reconnecting": "Camera {camera} cannot be reached: its parts are not inspected.",
    "camera.ended": "Camera {camera} has shown its last picture.",
    "camera.no_bundle": "Camera {camera} has no model: its parts are not inspected.",
    "camera.paused": "Camera {camera} is paused by a person: its parts are not inspected.",
    "broker.starting": "The connection to the message broker is being made.",
    "broker.not_used": "No message broker is used.",
    "broker.good": "The message broker takes every alert.",
    "broker.behind": "Alerts on their way to the message broker: {waiting}.",
    "broker.degraded": "The message broker is reached, but something is wrong.",
    "broker.degraded_waiting": "The message broker is reached, but something is wrong. Alerts "
    "that wait: {waiting}.",
    "broker.unreachable": "The message broker cannot be reached. No alert waits.",
    "broker.unreachable_waiting": "The message broker cannot be reached. Alerts that wait: "
    "{waiting}.",
    "broker.in_memory": "Alerts in memory only, because the disk does not take them: {count}.",
    "model.unknown": "It is not known yet what judges.",
    "model.good": "The model judges as it was built.",
    "model.slot": "Slot {slot} judges {product}.",
    "model.none": "Slot {slot} has no model: its parts are not inspected.",
    "model.shortfall": "The model of slot {slot} runs, but not as it was meant to.",
    "model.weak": "The model misses defects that are clearly visible.",
    "disk.unknown": "How much room the disk has is not known.",
    "disk.good": "The disk has room: {free}.",
    "disk.low": "The disk is nearly full: {free} left.",
    "disk.full": "The disk is full: alerts use the last reserve.",
    "disk.counted_only": "Alerts that were only counted, because there was no room for them: "
    "{count}.",
    "temperature.unknown": "This device does not tell its temperature.",
    "temperature.good": "The device has {celsius} °C.",
    "temperature.warm": "The device is warm: {celsius} °C.",
    "temperature.hot": "The device is too hot: {celsius} °C. It may slow down.",
    "clock.unknown": "Whether the clock is right is not known.",
    "clock.good": "The clock follows a time source.",
    "clock.unsynchronised": "The clock follows no time source: times may be wrong.",
    "clock.jumps": "How often the clock was set by more than a minute since the start: {count}.",
    "updates.unknown": "It is not known how models come to this device.",
    "updates.not_used": "Models are not changed while the device runs: there is no agent.",
    "updates.good": "New models can be installed.",
    "updates.under_way": "A new model is being brought in for slot {slot}.",
    "updates.agent_gone": "The agent does not run: no model can be installed or changed.",
    "history.unknown": "It is not known whether parts are recorded.",
    "history.not_kept": "Parts are not recorded: the configuration says so.",
    "history.good": "Every part is recorded.",
    "history.not_written": "Parts are not recorded now. Waiting in memory: {waiting}.",
    "history.no_pictures": "Alerts without a picture since the start: {count}.",
    "history.lost": "Judged parts without a record since the start: {count}.",
    "audit.unknown": "It is not known whether changes are recorded.",
    "audit.good": "Every change is recorded with its author.",
    "audit.not_written": "Changes cannot be recorded, so none is made. Records that "
    "wait: {waiting}.",
    "audit.changed": "The record of changes was damaged, or changed from outside.",
    "golden.alarmed": "Golden part {parts} was not recognised, or not shown in its time.",
    "golden.due": "Golden part {parts} is due.",
    "golden.good": "Golden parts are recognised when they are due.",
    "page.good": "This page hears from inspection.",
    "page.not_running": "Inspection does not run: no part is judged.",
    "page.silent": "Inspection has said nothing for some time: it may hang.",
}
"""Key → headline; `{name}` is a parameter."""

_FREE_SPACE = "Free some space on the device's disk: old pictures, logs, bundles that nobody needs."
_LOOK_AT_CAMERA = "Look at the camera's power, its cable and its lamp."

ADVICE: dict[str, str] = {
    **dict.fromkeys(HEADLINES, ""),
    "unknown": "See what the page says of inspection.",
    "cameras.none": "Wait a moment; if it stays, look at the configuration's [[camera]].",
    "camera.starting": "Wait a moment; if it stays, look at the camera's power and cable.",
    "camera.impaired": "Clean the lens; look at light, focus and the camera's place.",
    "camera.degraded": "See what the model says below.",
    "camera.blind": "Look into the camera: cover, light, lens.",
    "camera.stalled": _LOOK_AT_CAMERA,
    "camera.reconnecting": _LOOK_AT_CAMERA,
    "camera.ended": "If this should be a live camera, look at the configuration's url.",
    "camera.no_bundle": "Install a model for its slot, or choose a product.",
    "camera.paused": "Resume it when the work at it is done.",
    "broker.starting": "",
    "broker.behind": "If it grows, the broker or the network is too slow.",
    "broker.degraded": "Ask whoever runs the broker; what it said is below.",
    "broker.degraded_waiting": "Ask whoever runs the broker; what it said is below. Alerts are "
    "kept and sent later.",
    "broker.unreachable": "Look at the network cable, and whether the broker runs.",
    "broker.unreachable_waiting": "Look at the network cable, and whether the broker runs. Alerts "
    "are kept and sent later.",
    "model.unknown": "Wait a moment.",
    "model.none": "Install a model for this slot, or choose a product.",
    "model.shortfall": "Parts are judged. Tell the engineer what is said below.",
    "model.weak": "Tell the engineer: the model needs better pictures, or a new build.",
    "disk.unknown": "Run `edge-app doctor` on the device.",
    "disk.low": _FREE_SPACE,
    "disk.full": f"{_FREE_SPACE} Inspection goes on.",
    "temperature.warm": "Look at the fan and at the air round the device.",
    "temperature.hot": "Let air to the device: fan, dust, the cabinet's temperature.",
    "clock.unknown": "Run `edge-app doctor` on the device.",
    "clock.unsynchronised": "Give the device a time source (NTP), or set its clock.",
    "updates.unknown": "",
    "updates.under_way": "Nothing; parts are judged meanwhile.",
    "updates.agent_gone": "On the device: systemctl start edge-app-agent. Parts are judged.",
    "history.not_written": f"{_FREE_SPACE} Inspection and alerts go on.",
    "history.no_pictures": f"{_FREE_SPACE} The alerts themselves were sent.",
    "history.lost": "Look at the disk: it was full or too slow.",
    "audit.not_written": _FREE_SPACE,
    "audit.changed": "Tell the quality manager: `edge-app audit verify` says what was changed.",
    "golden.alarmed": "Stop and check light, camera, limit and model; then show the part again.",
    "golden.due": "Lay it under its camera, alone; without a serial announce it on the page first.",
    "page.not_running": "On the device: systemctl start edge-app.",
    "page.silent": "On the device: systemctl status edge-app. It restarts by itself if it hangs.",
}
"""Key → what to do; "" for nothing."""

PLAIN: dict[int, str] = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "this account may not use more of the disk",
    errno.EROFS: "the disk takes no writing",
    errno.EIO: "the device or disk failed to read or write",
    errno.EACCES: "this account may not use it",
    errno.EPERM: "this account may not do that",
    errno.ENOENT: "it is not there",
    errno.ENODEV: "it is not plugged in",
    errno.ENXIO: "it is not plugged in",
    errno.EBUSY: "another program uses it",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
    errno.ENOMEM: "no memory is left",
    errno.ECONNREFUSED: "nothing answers at that address",
    errno.ECONNRESET: "the other side hung up",
    errno.ECONNABORTED: "the other side hung up",
    errno.EPIPE: "the other side hung up",
    errno.ETIMEDOUT: "there was no answer in time",
    errno.EHOSTUNREACH: "the network has no way there",
    errno.ENETUNREACH: "the network has no way there",
    errno.ENETDOWN: "this device's network is off",
    errno.EADDRINUSE: "another program has that port",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.EINVAL: "it does not take that setting",
}
"""Number of the system's error → plain words."""

_OTHERS: dict[str, str] = {
    "database or disk is full": "the disk is full",
    "disk I/O error": "the disk failed to read or write",
    "database is locked": "another program uses it",
    "unable to open database file": "it cannot be opened",
    "attempt to write a readonly database": "the disk takes no writing",
    "database disk image is malformed": "the file is damaged",
    "file is not a database": "the file is damaged",
    "Name or service not known": "no name server knows that name",
    "Temporary failure in name resolution": "no name server answers",
    "No address associated with hostname": "no name server knows that name",
    "timed out": "there was no answer in time",
    "Connect call failed": "the connection failed",
}
"""Other words of libraries → plain ones."""

UNNAMED = "the system refused it"
_NUMBERED = re.compile(r"\[Errno ?-?\d*\]\s*", re.IGNORECASE)
_BY_TEXT = {
    **{os.strerror(code): PLAIN.get(code, UNNAMED) for code in errno.errorcode},
    **_OTHERS,
}
_KNOWN = re.compile(
    "|".join(re.escape(text) for text in sorted(_BY_TEXT, key=len, reverse=True)), re.IGNORECASE
)
_LOWER = {text.lower(): words for text, words in _BY_TEXT.items()}


def plain_reason(text: str) -> str:
    """Return a reason without numbers and names of errors: "[Errno 28] No space left on device"
    becomes "the disk is full"."""
    found = _NUMBERED.sub("", text)
    return " ".join(_KNOWN.sub(lambda m: _LOWER[m[0].lower()], found).split())


def size_words(size_bytes: int) -> str:
    """Return a size as people read it, such as "350 MB" or "70 GB" (of 1024³ bytes)."""
    size_gb = size_bytes / (1 << 30)
    if size_gb < 1:
        return f"{size_bytes >> 20} MB"
    return f"{size_gb:.1f} GB" if size_gb < 10 else f"{size_gb:.0f} GB"
