"""The configuration's tables, one frozen model each; `assets/edge-app.example.toml` explains
every key with its unit and default, and a test compares the two.

Validation takes a context `{"folder": Path}`: relative paths are relative to the TOML's folder.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from edge_app.alerts.keep_limits import PER_DAY, PER_HOUR, KeepLimits
from edge_app.config.camera import CameraConfig
from edge_app.config.fields import AnchoredPath, ExistingFile, Table, TopicLevel
from edge_app.config.golden import GoldenPartConfig, check_golden_parts
from edge_app.host.name_lookup import own_name
from edge_app.mqtt.settings import MqttSettings
from edge_app.secret_text import has_secret, shown_address
from edge_app.shifts import DEFAULT_STARTS, Shifts

BROKER_HOST = re.compile(r"[^\s/\\@?#]+")
ALLOWED_HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?")


class DeviceConfig(Table):
    """This device's name: the first levels of every topic, and what a bundle's targets match."""

    site: TopicLevel
    line: TopicLevel
    device: TopicLevel
    state_dir: AnchoredPath = Path("/var/lib/cropliq-edge")


class BundleConfig(Table):
    """The model bundle; `path` is optional if an agent installs bundles."""

    path: ExistingFile | None = None
    trusted_keys_dir: AnchoredPath | None = None
    allow_unsigned: bool = False
    max_bundle_mb: int = Field(512, ge=1, le=16_384)


class MqttConfig(Table):
    """The broker."""

    enabled: bool = True
    host: str = Field("localhost", min_length=1)
    port: int = Field(1883, ge=1, le=65_535)
    tls: bool = False
    ca_file: ExistingFile | None = None
    cert_file: ExistingFile | None = None
    key_file: ExistingFile | None = None
    username: str | None = None
    password_file: ExistingFile | None = None
    keepalive_s: int = Field(30, ge=5, le=3600)
    reconnect_max_s: float = Field(30.0, ge=1, le=3600)
    publish_results: bool = False

    @field_validator("host")
    @classmethod
    def _is_host(cls, host: str) -> str:
        if not BROKER_HOST.fullmatch(host):
            raise ValueError(
                f"{shown_address(host)!r} is not a host; expected a name or an address alone: the "
                "port stands in port, the login in username and password_file"
            )
        return host

    @model_validator(mode="after")
    def _belong_together(self) -> MqttConfig:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; give both or neither")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file without username; MQTT sends the two together")
        if not self.tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file or cert_file is given but tls = false; set tls = true")
        return self

    def settings(self) -> MqttSettings:
        """Return what a connection needs of this table."""
        return MqttSettings(
            host=self.host,
            port=self.port,
            username=self.username,
            password_file=self.password_file,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            tls=self.tls,
            keepalive_s=self.keepalive_s,
            reconnect_max_s=self.reconnect_max_s,
        )


class OutboxConfig(Table):
    """The alarm store on disk."""

    max_messages: int = Field(100_000, ge=100)
    reserve_mb: int = Field(16, ge=1, le=1024)


class EvidenceConfig(Table):
    """Evidence pictures: of defective parts and of others worth keeping; see docs/page.md."""

    enabled: bool = True
    max_age_h: float = Field(168.0, gt=0)
    crop_max_age_h: float = Field(672.0, gt=0)
    max_mb: int = Field(4096, ge=1)
    jpeg_quality: int = Field(90, ge=1, le=100)
    base_url: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    near_miss_percent: float = Field(90.0, ge=0, le=100)
    sample_percent: float = Field(0.1, ge=0, le=100)
    ng_per_hour: int = Field(600, ge=0, le=100_000)
    ng_per_day: int = Field(5_000, ge=0, le=1_000_000)
    suspect_per_hour: int = Field(60, ge=0, le=100_000)
    suspect_per_day: int = Field(300, ge=0, le=1_000_000)
    near_miss_per_hour: int = Field(30, ge=0, le=100_000)
    near_miss_per_day: int = Field(150, ge=0, le=1_000_000)
    not_inspected_per_hour: int = Field(60, ge=0, le=100_000)
    not_inspected_per_day: int = Field(300, ge=0, le=1_000_000)
    random_per_hour: int = Field(60, ge=0, le=100_000)
    random_per_day: int = Field(300, ge=0, le=1_000_000)

    @property
    def limits(self) -> KeepLimits:
        """Return what limits the pictures of each kind."""
        return KeepLimits(
            {kind: getattr(self, f"{kind}_per_hour") for kind in PER_HOUR},
            {kind: getattr(self, f"{kind}_per_day") for kind in PER_DAY},
            self.crop_max_age_h,
            self.sample_percent / 100,
        )

    @model_validator(mode="after")
    def _hours_fit_into_days(self) -> EvidenceConfig:
        limits = self.limits
        for kind, count in limits.per_hour.items():
            if count > limits.per_day[kind] > 0:
                raise ValueError(
                    f"{kind}_per_hour = {count} is more than {kind}_per_day = "
                    f"{limits.per_day[kind]}; give no more an hour than a day"
                )
        return self

    @field_validator("base_url")
    @classmethod
    def _holds_no_login(cls, url: str | None) -> str | None:
        if url is not None and has_secret(url):
            raise ValueError(
                f"{shown_address(url)!r} was given with a login or a token; every alert would "
                "publish it. Give the address alone"
            )
        return url


class HistoryConfig(Table):
    """What the device remembers of each part; see docs/history.md."""

    enabled: bool = True
    max_age_days: float = Field(90.0, gt=0, le=36_500)
    max_mb: int = Field(1024, ge=8, le=1_048_576)


class PageConfig(Table):
    """The live page."""

    enabled: bool = True
    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8080, ge=1, le=65_535)
    token_file: ExistingFile | None = None
    changeover: bool = True
    tls_certificate: ExistingFile | None = None
    tls_key: ExistingFile | None = None
    bad_parts: Literal["latch", "list"] = "latch"
    bad_parts_list_min: float = Field(60.0, ge=1, le=10_080)
    shifts: list[str] = Field(list(DEFAULT_STARTS))

    @property
    def bad_parts_gone_after_min(self) -> float | None:
        """When a bad part is off the line by itself, in minutes; None: a person takes it out."""
        return self.bad_parts_list_min if self.bad_parts == "list" else None

    @field_validator("shifts")
    @classmethod
    def _are_times_of_a_day(cls, texts: list[str]) -> list[str]:
        return [f"{start:%H:%M}" for start in Shifts.of(texts).starts]

    @model_validator(mode="after")
    def _certificate_has_key(self) -> PageConfig:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together; give both or neither")
        return self

    @model_validator(mode="after")
    def _needs_token_beyond_loopback(self) -> PageConfig:
        if self.enabled and self.token_file is None and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} lets others see the page: give token_file, "
                'or bind to host = "127.0.0.1"'
            )
        return self


class PeopleConfig(Table):
    """The people who log in; see docs/people.md."""

    names_in_statistics: bool = False


class RuntimeConfig(Table):
    """How the process runs."""

    threads: int = Field(0, ge=0, le=256)
    backend: Literal["auto", "onnxruntime", "openvino", "tensorrt"] = "auto"
    precision: Literal["fp32", "fp16", "int8"] | None = None
    engine_dir: AnchoredPath | None = None
    max_batch: int = Field(8, ge=1, le=64)
    cuda_graphs: bool = True
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class WatchdogConfig(Table):
    """How long a loop may make no progress before systemd restarts the service."""

    inspection_deadline_s: float = Field(10.0, ge=0.5, le=3600)
    camera_deadline_s: float = Field(30.0, ge=1.0, le=3600)


class ThresholdConfig(Table):
    """Thresholds of this device that replace the bundle's, with the reason for the audit trail."""

    score_threshold: float | None = Field(None, allow_inf_nan=False)
    map_threshold: float | None = Field(None, allow_inf_nan=False)
    reason: str | None = Field(None, min_length=8)

    @model_validator(mode="after")
    def _needs_reason(self) -> ThresholdConfig:
        if self.is_overridden and self.reason is None:
            raise ValueError("a threshold here needs a reason; it goes into the audit trail")
        return self

    @property
    def is_overridden(self) -> bool:
        return self.score_threshold is not None or self.map_threshold is not None


class AgentConfig(Table):
    """The agent: its store, socket, limits and login; see docs/activation.md."""

    enabled: bool = False
    store_dir: AnchoredPath = Path("/var/lib/cropliq-edge-agent")
    socket: AnchoredPath = Path("/run/cropliq-edge-agent/agent.sock")
    keep_releases: int = Field(3, ge=0, le=100)
    min_free_mb: int = Field(256, ge=1, le=1_048_576)
    check_memory_mb: int = Field(4096, ge=256, le=1_048_576)
    check_cpu_s: int = Field(300, ge=1, le=86_400)
    check_wall_s: float = Field(300.0, gt=0, le=86_400)
    inspection_wait_s: float = Field(30.0, gt=0, le=3600)
    mqtt_username: str | None = None
    mqtt_password_file: AnchoredPath | None = None
    mqtt_cert_file: AnchoredPath | None = None
    mqtt_key_file: AnchoredPath | None = None
    operator_keys_dir: AnchoredPath | None = None
    feedback: bool = False

    @model_validator(mode="after")
    def _belong_together(self) -> AgentConfig:
        if (self.mqtt_cert_file is None) != (self.mqtt_key_file is None):
            raise ValueError("mqtt_cert_file and mqtt_key_file belong together; give both")
        if self.feedback and self.operator_keys_dir is None:
            raise ValueError(
                "feedback = true without operator_keys_dir: nobody's signature would count"
            )
        if self.mqtt_password_file is not None and self.mqtt_username is None:
            raise ValueError("mqtt_password_file without mqtt_username; MQTT sends them together")
        return self


class DownloadConfig(Table):
    """Where pushed bundles may be downloaded from; `[bundle] max_bundle_mb` limits their size."""

    allowed_hosts: Annotated[tuple[str, ...], Field(strict=False)] = ()
    ca_file: AnchoredPath | None = None
    timeout_s: float = Field(20.0, gt=0, le=600)
    give_up_after_s: float = Field(3600.0, gt=0, le=604_800)

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not ALLOWED_HOST.fullmatch(host):
                raise ValueError(
                    f"{host!r} is not a host; expected HOST or HOST:PORT, no https:// or path, "
                    'e.g. "station.plant" or "10.0.0.5:8443"'
                )
        return tuple(host.lower() for host in hosts)


class SlotConfig(Table):
    """One slot, `[slot.NAME]`: how a new bundle is accepted there."""

    shadow_parts: int = Field(200, ge=0, le=1_000_000)
    shadow_max_min: float = Field(60.0, gt=0, le=100_000)
    max_disagreement: float = Field(0.02, ge=0, le=1)
    promote: Literal["rule", "hand"] = "rule"
    probation_parts: int = Field(200, ge=0, le=1_000_000)
    probation_max_min: float = Field(60.0, gt=0, le=100_000)
    max_latency_ratio: float = Field(1.5, ge=1, le=100)
    standby_models: int = Field(2, ge=0, le=20)


def _table(model: type[Table]) -> Any:
    """Return a field that is an empty table when the file leaves it out."""
    return Field(default_factory=model)


class AppConfig(Table):
    """The whole file."""

    device: DeviceConfig
    bundle: BundleConfig
    cameras: Annotated[tuple[CameraConfig, ...], Field(strict=False)] = Field(alias="camera")
    mqtt: MqttConfig = _table(MqttConfig)
    outbox: OutboxConfig = _table(OutboxConfig)
    evidence: EvidenceConfig = _table(EvidenceConfig)
    history: HistoryConfig = _table(HistoryConfig)
    page: PageConfig = _table(PageConfig)
    people: PeopleConfig = _table(PeopleConfig)
    runtime: RuntimeConfig = _table(RuntimeConfig)
    watchdog: WatchdogConfig = _table(WatchdogConfig)
    threshold: ThresholdConfig = _table(ThresholdConfig)
    agent: AgentConfig = _table(AgentConfig)
    download: DownloadConfig = _table(DownloadConfig)
    slots: Annotated[dict[TopicLevel, SlotConfig], Field(strict=False)] = Field(
        alias="slot", default_factory=dict
    )
    golden_parts: Annotated[tuple[GoldenPartConfig, ...], Field(strict=False)] = Field(
        alias="golden_part", default=()
    )

    @property
    def evidence_base_url(self) -> str:
        """The address before `/evidence/...` in alerts: configured, or the page's."""
        host = self.page.host if is_loopback(self.page.host) else own_name()[0]
        scheme = "http" if self.page.tls_certificate is None else "https"
        return self.evidence.base_url or f"{scheme}://{host}:{self.page.port}"

    def slot(self, name: str) -> SlotConfig:
        """Return a slot's rules: its table, or the defaults."""
        return self.slots.get(name, SlotConfig())

    @property
    def slot_names(self) -> tuple[str, ...]:
        """The slots that cameras belong to, in the order of the cameras."""
        return tuple(dict.fromkeys(camera.slot for camera in self.cameras))

    @model_validator(mode="after")
    def _slots_need_an_agent(self) -> AppConfig:
        if not self.agent.enabled and self.bundle.path is None:
            raise ValueError("[bundle] path is missing; it is required without [agent]")
        if not self.agent.enabled and len(self.slot_names) > 1:
            raise ValueError(
                f"the cameras name {len(self.slot_names)} slots ({', '.join(self.slot_names)}), "
                "but one bundle path serves one slot; set [agent] enabled = true, or leave slot out"
            )
        if self.agent.enabled and self.threshold.is_overridden:
            raise ValueError(
                "[threshold] does not go with [agent]: a threshold applies to one bundle's "
                "scale, and the agent installs others. Calibrate the bundle, or leave out [agent]"
            )
        unused = sorted(set(self.slots) - set(self.slot_names))
        if unused:
            raise ValueError(
                f"no camera belongs to slot {', '.join(unused)}; cameras name "
                f"{', '.join(self.slot_names)}. Give a [[camera]] slot = {unused[0]!r}, or remove "
                f"[slot.{unused[0]}]"
            )
        return self

    @model_validator(mode="after")
    def _golden_parts_have_cameras(self) -> AppConfig:
        check_golden_parts(self.golden_parts, [camera.name for camera in self.cameras])
        return self

    @field_validator("cameras")
    @classmethod
    def _check_names(cls, cameras: tuple[CameraConfig, ...]) -> tuple[CameraConfig, ...]:
        if not cameras:
            raise ValueError("there is no camera; add a [[camera]] table with name and url")
        names = [camera.name for camera in cameras]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"camera names must differ; used twice: {', '.join(twice)}")
        return cameras


def is_loopback(host: str) -> bool:
    """Tell whether a bind address is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
