"""Bundles signed in format 1 verify for ever. If this fails, the code is wrong, not the fixture."""

from __future__ import annotations

from pathlib import Path

from edge_app.bundle.archive import read_bundle
from edge_app.bundle.trusted_keys import load_trust
from edge_app.bundle.verify import verify_bundle
from edge_app.model.loaded_model import load_model
from edge_app.model.offline import inspect_pictures, pictures_at

FOLDER = Path(__file__).parents[2] / "fixtures" / "signed_v1"
BUNDLE = FOLDER / "bright.bundle"
SHA256 = "623e0a8693a566cce8c25c4b5f60257c24d49982089a6a90ee5e3e75e537b71f"
KEY_ID = "4244ae94696771b92fc997408e582d8aa6b34852debd5d1993aa47c3edd840f2"


def test_the_signed_fixture_verifies() -> None:
    """The committed bundle is accepted with the committed key, as the same bytes."""
    verified = verify_bundle(BUNDLE, load_trust(FOLDER))
    assert (verified.sha256, verified.key_id) == (SHA256, KEY_ID)
    assert (verified.manifest.product, verified.manifest.serial) == ("bright", 1)
    assert verified.expiry is None
    assert not verified.allow_back


def test_the_unpacked_folder_is_the_same_bundle() -> None:
    """Every member lies in the folder unchanged, for tools that verify folders."""
    files = read_bundle(BUNDLE).files
    folder = FOLDER / "unpacked"
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert set(found) == {*files, "manifest.json", "bundle.sig"}
    assert {n: found[n] for n in files} == dict(files)


def test_the_signed_fixture_judges_its_golden_pictures() -> None:
    """A bundle of format 1 still gives the verdicts and scores it was shipped with."""
    bundle = read_bundle(BUNDLE, trust=load_trust(FOLDER))
    golden = {Path(g.file).name: g.parts[0] for g in bundle.variant().golden}
    results = list(
        inspect_pictures(load_model(bundle), pictures_at(FOLDER / "unpacked" / "golden"), None)
    )
    assert {r["picture"]: (r["verdict"], r["score"]) for r in results} == {
        name: (part.verdict, part.score) for name, part in golden.items()
    }
