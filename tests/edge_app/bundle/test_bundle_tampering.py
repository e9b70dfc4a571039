"""What somebody without a trusted key can do to a bundle, and that each of it is refused.

After every refusal the folder is as it was: verification writes nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
from support.bundle_tampering import TABLE
from support.signed_bundles import Signer, full_files, members_of, trusting
from support.tampering_target import Victim, flipped

from edge_app.bundle import verify as bundle_verify
from edge_app.bundle.contents import BundleLimits
from edge_app.bundle.verify import verify_bundle
from edge_app.errors import BundleError


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    return Victim(tmp_path, Signer("line1"), members_of(tmp_path))


def refusal(victim: Victim, data: bytes, limits: BundleLimits | None = None) -> str:
    """Return what `verify_bundle` says; the folder must be as it was."""
    path = victim.folder / "crooked.bundle"
    path.write_bytes(data)
    before = {p: p.read_bytes() for p in victim.folder.rglob("*")}
    with pytest.raises(BundleError) as refused:
        verify_bundle(path, trusting(victim.signer.public()), limits)
    assert {p: p.read_bytes() for p in victim.folder.rglob("*")} == before
    return str(refused.value)


@pytest.mark.parametrize("attack", TABLE)
def test_a_tampered_bundle_is_refused(victim: Victim, attack: str) -> None:
    """Each alteration is refused with its reason, and nothing is written."""
    make, told = TABLE[attack]
    message = refusal(victim, make(victim))
    assert re.search(told, message), message


def test_the_victim_is_accepted(victim: Victim) -> None:
    """What the attacks alter is a bundle that is accepted as it is."""
    path = victim.folder / "whole.bundle"
    path.write_bytes(victim.whole)
    verified = verify_bundle(path, trusting(victim.signer.public()))
    assert verified.key_id == victim.signer.key_id
    assert verified.manifest.product == "bright"
    assert verified.sha256 == hashlib.sha256(victim.whole).hexdigest()


def test_every_flipped_byte_is_refused(victim: Victim) -> None:
    """There is no byte in the file, header, padding and end included, that may change."""
    whole = victim.whole
    for at in range(0, len(whole), 7):
        refusal(victim, flipped(whole, at))


def test_every_truncation_is_refused(victim: Victim) -> None:
    """A copy that ended early is refused wherever it ended, but for zeros at the very end."""
    whole = victim.whole
    body = len(whole.rstrip(b"\0"))
    for length in (*range(0, body, 331), body, body + 1):
        told = "is cut off" if length >= 512 else "is not a bundle"
        assert told in refusal(victim, whole[:length])


def test_a_file_beyond_the_devices_limit_is_not_opened_far(victim: Victim) -> None:
    """The device's own limit counts before anything is read."""
    message = refusal(victim, victim.whole, BundleLimits(max_bytes=1000))
    assert "more than the 1000 this device allows" in message


def test_nothing_unverified_meets_a_parser(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever does not match the signature is refused before manifest or graph is parsed."""

    def parsed(*_: object) -> None:
        raise AssertionError("a parser was called")

    monkeypatch.setattr(bundle_verify, "parse_manifest", parsed)
    monkeypatch.setattr(bundle_verify, "check_self_contained", parsed)
    for name in ("manifest.json", *full_files()):
        refusal(victim, victim.with_content(name, flipped))


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_a_path_that_is_no_plain_file_is_refused(victim: Victim, kind: str) -> None:
    """A pipe would block the reader, a device would never end."""
    path = Path("/dev/zero") if kind == "device" else victim.folder / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(BundleError, match=r"is not a plain file|Is a directory"):
        verify_bundle(path, trusting(victim.signer.public()))
