"""TLS with client certificates against a real mosquitto."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from support.alert_drafts import draft
from support.brokers import Mosquitto, wait_until
from support.certificate_authority import Certificate, make_authority, make_certificate

from edge_app.errors import ConfigError
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import MqttSettings, Publisher

pytestmark = pytest.mark.needs("mosquitto", "openssl")
Start = Callable[..., Publisher]


@pytest.fixture
def authority(tmp_path: Path) -> Certificate:
    """Return the authority that the broker trusts."""
    return make_authority(tmp_path)


@pytest.fixture
def tls_broker(
    start_mosquitto: Callable[..., Mosquitto], authority: Certificate, tmp_path: Path
) -> Mosquitto:
    """Return a broker that demands client certificates."""
    server = make_certificate(tmp_path, authority, "server")
    return start_mosquitto(
        f"cafile {authority.cert}\ncertfile {server.cert}\nkeyfile {server.key}\n"
        "require_certificate true\nuse_identity_as_username true",
        is_open=False,
    )


def test_a_client_certificate_opens_the_broker(
    tls_broker: Mosquitto,
    authority: Certificate,
    outbox: Outbox,
    start_publisher: Start,
    tmp_path: Path,
) -> None:
    """With the authority's certificate and a key of our own alerts arrive, encrypted."""
    own = make_certificate(tmp_path, authority, "press-3")
    outbox.append([draft(1)])
    publisher = start_publisher(
        tls_broker.port, ca_file=authority.cert, cert_file=own.cert, key_file=own.key
    )
    wait_until(lambda: publisher.state == "connected" and outbox.depth() == 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_with_a_strangers_certificate_is_not_trusted(
    tls_broker: Mosquitto, outbox: Outbox, start_publisher: Start, tmp_path: Path
) -> None:
    """A certificate from an authority that we do not trust ends the connection, in words.

    paho 2.2 leaves the socket of a failed handshake to the garbage collector, hence the mark.
    """
    outbox.append([draft(1)])
    stranger = make_authority(tmp_path, "stranger")
    publisher = start_publisher(tls_broker.port, ca_file=stranger.cert)
    wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in publisher.state)
    assert publisher.state.startswith("degraded: no MQTT connection")
    assert outbox.depth() == 1
    publisher.stop()
    gc.collect()


def test_a_device_without_a_certificate_stays_outside(
    tls_broker: Mosquitto, authority: Certificate, outbox: Outbox, start_publisher: Start
) -> None:
    """The broker demands a certificate: nothing is published and nothing is lost."""
    outbox.append([draft(1)])
    publisher = start_publisher(tls_broker.port, ca_file=authority.cert)
    wait_until(lambda: publisher.last_error != "")
    assert publisher.state != "connected"
    assert outbox.depth() == 1


def test_certificates_that_do_not_fit_are_named(tmp_path: Path, authority: Certificate) -> None:
    """A missing file and a key of another certificate give an error that names the files."""
    missing = MqttSettings("h", ca_file=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match=r"none\.pem"):
        missing.tls_context()
    other = make_authority(tmp_path, "other")
    mixed = MqttSettings("h", cert_file=authority.cert, key_file=other.key)
    with pytest.raises(ConfigError, match="certificates cannot be used"):
        mixed.tls_context()


def test_passwords_come_from_the_first_line_of_a_file(tmp_path: Path) -> None:
    """The line end does not count; an empty file is an error."""
    path = tmp_path / "password"
    path.write_text("s3cret\nsecond line\n")
    assert MqttSettings("h", password_file=path).read_password() == "s3cret"
    path.write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        MqttSettings("h", password_file=path).read_password()
