"""Addresses of cameras in many forms, each with a password that is found again wherever it goes."""

from __future__ import annotations

CANARY = "Ka7Narie"
"""Part of every password below."""

LOGINS = (
    f"anna:{CANARY}",
    f"anna:se/{CANARY}",
    f"anna:se#{CANARY}",
    f"anna:se?{CANARY}",
    f"anna:{CANARY}@home",
    f"anna:{CANARY}%2Fx",
    f"anna%3A{CANARY}",
    f"anna:12:{CANARY}",
    f"anna:a b{CANARY}",
    f"anna:{CANARY}&b=c",
    f"{CANARY}",
    f":{CANARY}",
)
SCHEMES = ("rtsp://", "RTSP://", "rtsps://", "rtsp:", "http://", "video:rtsp://", "folder://")
OPTIONS = (
    f"user=anna&password={CANARY}",
    f"password=se/{CANARY}",
    f"password=se#{CANARY}",
    f"password=x@{CANARY}",
    f"password=x&{CANARY}",
    f"channel=1&PWD={CANARY}",
    f"pass%77ord={CANARY}",
    f"token={CANARY};x=1",
    f"auth=Basic%20{CANARY}",
    f"{CANARY}",
    f"p={CANARY}",
)
PLACES = (
    "rtsp://127.0.0.1:1/s?",
    "rtsps://127.0.0.1:1/s?",
    "rtsp://127.0.0.1:1/",
    "http://h/s?",
    "v4l2:/dev/video99?",
)
PIPELINES = (
    f"rtspsrc location=rtsp://anna:{CANARY}@127.0.0.1:1/x ! decodebin",
    f"rtspsrc location=rtsp://127.0.0.1:1/x user-id=anna user-pw={CANARY} ! decodebin",
    f"rtspsrc location=rtsp://127.0.0.1:1/x user-pw = {CANARY} ! decodebin",
    f"rtspsrc location=rtsp://127.0.0.1:1/x user-pw='a {CANARY} ! b' ! decodebin",
    f"rtspsrc location = 'rtsp://anna:a {CANARY}@127.0.0.1:1/x' ! decodebin",
    f"rtspsrc location=rtsp://127.0.0.1:1/x user-pw=(string){CANARY} ! decodebin",
    f"rtspsrc location=rtsp://127.0.0.1:1/x user-pw=a\\\\ {CANARY} ! decodebin",
    f"rtspsrc location=rtsp://127.0.0.1:1/x user-pw=a {CANARY} ! decodebin",
    f"rtspsrc location=rtsp://127.0.0.1:1/x proxy-pw={CANARY} nosuch=1 ! decodebin",
    f"uridecodebin uri=rtsp://127.0.0.1:1/s?password={CANARY}",
    f"souphttpsrc location=http://127.0.0.1:1/x cookies={CANARY} ! decodebin",
    f"nosuchelement password='{CANARY}",
)


def secret_addresses() -> tuple[str, ...]:
    """Return every form, each once; a TOML text may hold them in double quotes."""
    logins = [f"{s}{login}@127.0.0.1:1/s" for s in SCHEMES for login in LOGINS]
    options = [f"{p}{option}" for p in PLACES for option in OPTIONS if _belongs(p, option)]
    pipelines = [f"gstreamer:{pipeline}" for pipeline in PIPELINES]
    bare = [f"anna:{CANARY}@127.0.0.1/s", f"//anna:{CANARY}@127.0.0.1/s", f" rtsp://a:{CANARY}@h/"]
    return (*logins, *options, *pipelines, *bare)


def _belongs(place: str, option: str) -> bool:
    """A path names its secrets, and a local device has no password called p."""
    is_named = "=" in option and not option.startswith("p=")
    return is_named or (place.endswith("?") and not place.startswith("v4l2"))
