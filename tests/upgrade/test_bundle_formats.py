"""Bundles between release 0.1.0 and today's code, both ways."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cut_device import bundle, digest_of
from field_device import QUICK, Code, FieldDevice, device, restore, wait_until
from goes_on import Brokers, goes_on, judging, rests
from support.format_2 import EXAMPLES, with_limits
from support.needs import ROOT
from support.release_0_1_0 import run_on_release
from support.signed_bundles import Signer
from support.small_bundles import bright_files, write_bright_bundle

from deploy.bundles.sign import sign_bundle
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.manifest import FORMAT_1
from edge_app.bundle.signature import SigningTerms
from edge_app.bundle.trusted_keys import parse_moment

pytestmark = pytest.mark.needs("the repository's history")

SAYS = """
import sys
from pathlib import Path
from edge_app.bundle import read_bundle
from edge_app.errors import BundleError
for name in sys.argv[1:]:
    try:
        print(read_bundle(Path(name)).manifest.product)
    except BundleError as error:
        print(error)
"""
WRITES = """
import sys
from pathlib import Path
from edge_app.bundle import read_bundle, write_bundle
bundle = read_bundle(Path(sys.argv[1]))
write_bundle(Path(sys.argv[2]), bundle.manifest, bundle.files)
"""


def test_the_release_reads_format_1_and_refuses_format_2(release: Code, tmp_path: Path) -> None:
    """What needs nothing new is read; every feature is refused, and the format is named first."""
    files = [write_bright_bundle(tmp_path / "plain.bundle")]
    for feature, example in EXAMPLES.items():
        files.append(tmp_path / f"{feature}.bundle")
        write_bundle(files[-1], example(), bright_files())
    plain, *refused = run_on_release(release.root, SAYS, *map(str, files)).splitlines()
    assert plain == "bright"
    assert len(refused) == len(EXAMPLES)
    for file, words in zip(files[1:], refused, strict=True):
        assert words.startswith(
            f"Bundle {file.name} refused: manifest.json is wrong: "
            "format: Input should be 'cropliq-bundle/1'; "
        )
        assert "requires: Extra inputs are not permitted" in words


def shipped() -> list[Path]:
    """Return the bundles in the repository that are of format 1."""
    found = [*(ROOT / "edge_app/assets").glob("*.bundle"), *(ROOT / "tests").rglob("*-1.bundle")]
    return [path for path in found if read_bundle(path).manifest.format == FORMAT_1]


def test_both_write_the_same_bytes(release: Code, tmp_path: Path) -> None:
    """Read and written again by either code, a bundle of format 1 is one file."""
    assert shipped()
    for path in shipped():
        run_on_release(release.root, WRITES, str(path), str(tmp_path / "theirs.bundle"))
        found = read_bundle(path)
        ours = write_bundle(tmp_path / "ours.bundle", found.manifest, found.files)
        theirs = (tmp_path / "theirs.bundle").read_bytes()
        assert ours == hashlib.sha256(theirs).hexdigest(), path.name


def format_2_for(found: FieldDevice) -> Path:
    """Write the next alpha with a suspect threshold, signed with a key that the device trusts."""
    signer = Signer("station")
    pem = signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (found.folder / "keys" / "station.pub").write_bytes(pem)
    older = read_bundle(bundle("alpha-2"))
    limit = older.variant().thresholds.score_threshold
    manifest = with_limits(older.manifest, suspect_threshold=0.9 * limit)
    path = found.folder / "alpha-3.bundle"
    write_bundle(path, manifest.model_copy(update={"serial": 3}), older.files)
    sign_bundle(path, signer.key, path, SigningTerms())
    return path


def test_a_device_of_the_release_refuses_format_2_and_judges_on(
    tmp_path: Path, release: Code, brokers: Brokers
) -> None:
    """In its own words, with nothing changed on its disk."""
    folder = restore("first", tmp_path / "device")
    with device(folder, release) as found, brokers.at(found) as station:
        new = format_2_for(found)
        goes_on(found, station, "alpha-1")
        install = found.install(new)
        assert install.wait() != 0
        assert "manifest.json is wrong: format: Input should be 'cropliq-bundle/1'" in install.text
        assert found.link("active") == digest_of("alpha-1")
        assert judging(station) == digest_of("alpha-1")
        rests(found)


def test_the_release_after_format_2_goes_back_to_the_bundle_before_it(
    tmp_path: Path, today: Code, release: Code, brokers: Brokers
) -> None:
    """Today's code commits a bundle of format 2; 0.1.0 cannot read it and judges with the last one
    that it can."""
    folder = restore("first", tmp_path / "device")
    with device(folder, today) as found, brokers.at(found) as station:
        found.set(slot=QUICK)
        new = format_2_for(found)
        goes_on(found, station, "alpha-1")
        install = found.install(new)
        assert install.wait() == 0, install.text
        digest = hashlib.sha256(new.read_bytes()).hexdigest()
        wait_until(lambda: judging(station) == digest, "the new bundle judges")
        rests(found)
    with device(folder, release) as found, brokers.at(found) as station:
        found.start()
        wait_until(
            lambda: judging(station) == digest_of("alpha-1"),
            f"the bundle before it judges, not {judging(station)}: {found.run and found.run.text}",
        )


VERIFIES = """
import sys
from pathlib import Path
from edge_app.bundle_verify import verify_bundle
from edge_app.trust import load_trust
for name in sys.argv[2:]:
    print(verify_bundle(Path(name), load_trust(Path(sys.argv[1]))).sha256)
"""


def test_the_release_verifies_what_is_signed_now(release: Code, tmp_path: Path) -> None:
    """The one form of today's signatures is one of those that 0.1.0 reads."""
    key = tmp_path / "keys" / "line1.pub"
    signer = Signer("line1")
    key.parent.mkdir()
    key.write_bytes(
        signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    write_bright_bundle(tmp_path / "plain.bundle")
    files = [tmp_path / f"{number}.bundle" for number in range(4)]
    terms = SigningTerms(expires_at=parse_moment("2100-01-01", "test"), allow_back=True)
    for file in files:
        sign_bundle(tmp_path / "plain.bundle", signer.key, file, terms)
    told = run_on_release(release.root, VERIFIES, str(key.parent), *map(str, files)).splitlines()
    assert told == [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
