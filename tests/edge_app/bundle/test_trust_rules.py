"""Who may install which bundle when: stories over keys, devices, serials and dates."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.signed_bundles import NO_TERMS, Signer, trusting, write_signed
from support.small_bundles import bright_manifest

from edge_app.bundle.admission_rules import check_admissible
from edge_app.bundle.signature import SigningTerms
from edge_app.bundle.trusted_keys import TrustPolicy
from edge_app.bundle.verify import VerifiedBundle, verify_bundle
from edge_app.errors import BundleError
from edge_app.mqtt.topics import DeviceName

HERE = DeviceName("graz", "l2", "d3")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
DAY = timedelta(days=1)
ANNA, BORIS = Signer("anna"), Signer("boris")


def verified(
    folder: Path,
    serial: int = 7,
    targets: tuple[str, ...] = ("*",),
    terms: SigningTerms = NO_TERMS,
    trust: TrustPolicy | None = None,
    signer: Signer = ANNA,
) -> VerifiedBundle:
    """Return what this device makes of a bundle that `signer` signed."""
    manifest = bright_manifest().model_copy(update={"serial": serial, "targets": targets})
    path = write_signed(folder / "a.bundle", signer, manifest, terms)
    return verify_bundle(path, trust or trusting(ANNA.public()))


def admit(
    bundle: VerifiedBundle,
    high_water: int | None = None,
    now: datetime = NOON,
    product: str | None = None,
    doubt: str = "",
) -> None:
    check_admissible(
        bundle.manifest,
        HERE,
        high_water,
        bundle.allow_back,
        now=now,
        expiry=bundle.expiry,
        product=product,
        doubt=doubt,
    )


def test_a_newer_serial_is_admitted(tmp_path: Path) -> None:
    """The first bundle of a product, the same serial again and a newer one may be installed."""
    bundle = verified(tmp_path)
    for high_water in (None, 6, 7):
        admit(bundle, high_water)


def test_an_older_serial_is_refused(tmp_path: Path) -> None:
    """A correctly signed older bundle does not replace a newer one; the message says the remedy."""
    with pytest.raises(BundleError, match=r"older than serial 8 installed.*Push 9 or later"):
        admit(verified(tmp_path), 8)


def test_the_signer_may_permit_going_back(tmp_path: Path) -> None:
    """The permission to go back is part of what is signed."""
    admit(verified(tmp_path, terms=SigningTerms(allow_back=True)), 8)


def test_another_product_is_refused(tmp_path: Path) -> None:
    """A pointer that promised another product than the bundle's is not followed."""
    with pytest.raises(BundleError, match="is for the product bright, not screws"):
        admit(verified(tmp_path), product="screws")


@pytest.mark.parametrize(
    "targets", [("*",), ("graz/l2/d3",), ("graz/*/*",), ("linz/*/*", "graz/l?/d[1-3]")]
)
def test_a_bundle_for_this_device_is_admitted(tmp_path: Path, targets: tuple[str, ...]) -> None:
    """One matching pattern is enough."""
    admit(verified(tmp_path, targets=targets))


@pytest.mark.parametrize(
    "targets", [("graz/l2/d4",), ("linz/*/*",), ("*/*/d",), ("*/d3/*", "*/*/D3"), ()]
)
def test_a_bundle_for_others_is_refused(tmp_path: Path, targets: tuple[str, ...]) -> None:
    """No pattern reaches over a slash, and upper case is not lower case."""
    with pytest.raises(BundleError, match="this device is graz/l2/d3"):
        admit(verified(tmp_path, targets=targets))


def test_an_expired_signature_installs_nothing(tmp_path: Path) -> None:
    """A signature counts until the moment it names, and no longer."""
    bundle = verified(tmp_path, terms=SigningTerms(expires_at=NOON))
    admit(bundle, now=NOON - DAY)
    with pytest.raises(BundleError, match="its signature expired on 2026-11-22 12:00 UTC"):
        admit(bundle, now=NOON)


def test_by_a_clock_that_may_be_wrong_the_refusal_says_so(tmp_path: Path) -> None:
    """Nothing expired is accepted; a person who installs a file reads what to do first."""
    bundle = verified(tmp_path, terms=SigningTerms(expires_at=NOON))
    with pytest.raises(BundleError, match=r"But no time source has set this clock: set it \(NTP\)"):
        admit(bundle, now=NOON, doubt="no time source has set this clock")
    admit(bundle, now=NOON - DAY, doubt="no time source has set this clock")


def test_an_expired_key_installs_nothing(tmp_path: Path) -> None:
    """A key that has reached its date vouches for nothing new."""
    bundle = verified(tmp_path, trust=trusting(ANNA.public(expires_at=NOON)))
    with pytest.raises(BundleError, match="the key anna expired on 2026-11-22"):
        admit(bundle, now=NOON + DAY)


def test_the_earlier_end_counts(tmp_path: Path) -> None:
    """Signature and key each have an end; the first of them is the bundle's."""
    terms = SigningTerms(expires_at=NOON + DAY)
    bundle = verified(tmp_path, terms=terms, trust=trusting(ANNA.public(expires_at=NOON)))
    assert bundle.expiry is not None
    assert (bundle.expiry.at, bundle.expiry.of) == (NOON, "the key anna")


def test_keys_are_rotated_side_by_side(tmp_path: Path) -> None:
    """While both keys are trusted, bundles of either are; then the old one is revoked."""
    both = trusting(ANNA.public(), BORIS.public())
    for signer in (ANNA, BORIS):
        assert verified(tmp_path, trust=both, signer=signer).key_id == signer.key_id
    only_boris = trusting(ANNA.public(), BORIS.public(), revoked=[ANNA.key_id])
    assert verified(tmp_path, trust=only_boris, signer=BORIS).key_id == BORIS.key_id
    with pytest.raises(BundleError, match="signed with the revoked key"):
        verified(tmp_path, trust=only_boris, signer=ANNA)


def test_a_revoked_key_needs_no_file(tmp_path: Path) -> None:
    """A revoked id is refused as revoked even when its key has been removed from the folder."""
    trust = trusting(BORIS.public(), revoked=[ANNA.key_id])
    with pytest.raises(BundleError, match="revoked"):
        verified(tmp_path, trust=trust)
