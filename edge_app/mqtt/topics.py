"""Where each message goes: `inspect/v1/{site}/{line}/{device}/...`."""

from __future__ import annotations

from dataclasses import dataclass

from edge_app.errors import ConfigError

ROOT = "inspect/v1"
MAX_NAME_LENGTH = 64
"""Characters in one level; five levels then stay far below MQTT's 65,535 bytes."""


def check_name(value: str, what: str) -> str:
    """Return the name if it can be one level of a topic.

    Raises:
        ConfigError: it is empty, too long, or holds `/`, `+`, `#`, `$`, a space or a control mark.
    """
    is_clean = all(c.isprintable() and not c.isspace() and c not in "/+#$" for c in value)
    if not value or len(value) > MAX_NAME_LENGTH or not is_clean:
        raise ConfigError(
            f"{what} {value!r} cannot be part of an MQTT topic: use 1 to {MAX_NAME_LENGTH} "
            "characters without / + # $ or spaces, e.g. 'press-3'"
        )
    return value


@dataclass(frozen=True, slots=True)
class DeviceName:
    """A device's full name: site, line and device, each one topic level."""

    site: str
    line: str
    device: str

    def __post_init__(self) -> None:
        check_name(self.site, "site")
        check_name(self.line, "line")
        check_name(self.device, "device")

    @classmethod
    def parse(cls, text: str) -> DeviceName:
        """Return the device of a text SITE/LINE/DEVICE.

        Raises:
            ConfigError: the text is not three levels of a topic.
        """
        levels = text.split("/")
        if len(levels) != 3:
            raise ConfigError(
                f"device {text!r} is not named in full: expected SITE/LINE/DEVICE, "
                "e.g. graz/line-2/press-3"
            )
        return cls(*levels)

    def __str__(self) -> str:
        return f"{self.site}/{self.line}/{self.device}"

    @property
    def root(self) -> str:
        """The device's own part of the topic tree, without a slash at the end."""
        return f"{ROOT}/{self.site}/{self.line}/{self.device}"


def client_id(role: str, who: DeviceName) -> str:
    """Return the MQTT client id of one of a device's processes; no two devices share one.

    Without a `-` in its names a device keeps the id that release 0.1.0 gave it. Otherwise the
    lengths of site and line follow: `press/1-2` and `press-1/2` read the same when joined. Letters,
    digits and `-` only, as far as the names have nothing else: some brokers take no other ids.
    """
    plain = f"{role}-{who.site}-{who.line}-{who.device}"
    is_ambiguous = "-" in f"{who.site}{who.line}{who.device}"
    return f"{plain}-{len(who.site)}-{len(who.line)}" if is_ambiguous else plain


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics that one device writes."""

    who: DeviceName

    @property
    def status(self) -> str:
        return f"{self.who.root}/status"

    @property
    def info(self) -> str:
        return f"{self.who.root}/info"

    @property
    def health(self) -> str:
        return f"{self.who.root}/health"

    @property
    def probe(self) -> str:
        """For the device itself: a test message that shows whether its publishes arrive."""
        return f"{self.who.root}/probe"

    @property
    def own_alerts(self) -> str:
        """Filter for every alert of this device."""
        return self.alert("+")

    def camera_state(self, camera: str) -> str:
        return f"{self.who.root}/cam/{camera}/state"

    def alarm_level(self, camera: str) -> str:
        return f"{self.who.root}/cam/{camera}/alarm"

    def alert(self, camera: str) -> str:
        return f"{self.who.root}/cam/{camera}/alert"

    def result(self, camera: str) -> str:
        return f"{self.who.root}/cam/{camera}/result"

    @property
    def agent_status(self) -> str:
        return f"{self.who.root}/agent/status"

    @property
    def agent_answer(self) -> str:
        """The result of a command."""
        return f"{self.who.root}/agent/answer"

    def command(self, verb: str) -> str:
        """Written by operators; `+` for a verb is the filter for all of them."""
        return f"{self.who.root}/cmd/{verb}"

    @property
    def feedback(self) -> str:
        """Written by operators: what a person says of a part."""
        return f"{self.who.root}/feedback"

    def desired(self, slot: str) -> str:
        """Written by the workstation; `+` for a slot is the filter for all of them."""
        return f"{self.who.root}/deploy/{slot}/desired"

    def reported(self, slot: str) -> str:
        return f"{self.who.root}/deploy/{slot}/reported"


def alert_filter(site: str = "+", line: str = "+", device: str = "+") -> str:
    """Return the subscription for the alerts of one device, or with `+` of many."""
    return f"{ROOT}/{site}/{line}/{device}/cam/+/alert"
