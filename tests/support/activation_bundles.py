"""Signed bundles with golden pictures, good and bad ones, for the agent's and the line's tests."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2

from edge_app.bundle.manifest import GoldenPart, GoldenPicture, Manifest, Tolerances
from edge_app.imaging.upright_crop import whole_frame_box
from support.signed_bundles import Signer, members_of, signed_tar
from support.small_bundles import bright_files, bright_manifest, grey_picture

GOLDEN_SCORES = {"golden/good.png": 100.0, "golden/bad.png": 250.0}
"""What the brightness inspector makes of them: the brightest 4×4 block."""


@lru_cache
def signer() -> Signer:
    """Return the tests' own signer."""
    return Signer("tests")


def trusted_keys(folder: Path) -> Path:
    """Write the signer's public key as a device pins it; return the folder."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    folder.mkdir(parents=True, exist_ok=True)
    pem = signer().key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "tests.pub").write_bytes(pem)
    return folder


def golden_files() -> dict[str, bytes]:
    """Return one good and one bad picture, as PNG: no decoder changes them."""
    files = {}
    for name, score in GOLDEN_SCORES.items():
        ok, encoded = cv2.imencode(".png", grey_picture(spot=score > 200))
        assert ok
        files[name] = encoded.tobytes()
    return files


def manifest_of(
    product: str = "bright",
    serial: int = 1,
    threshold: float = 150.0,
    golden_shift: float = 0.0,
    tolerances: Tolerances | None = None,
) -> Manifest:
    """Return a manifest whose golden set expects what the brightness inspector gives.

    Args:
        threshold: of the score; above 250 everything is good.
        golden_shift: how far the expected scores are wrong.
    """
    plain = bright_manifest()
    variant = plain.variants[0]
    h, w = grey_picture().shape[:2]
    golden = tuple(
        GoldenPicture(
            file=name,
            parts=(
                GoldenPart(
                    box_cxcywhr=whole_frame_box((h, w)),
                    score=score + golden_shift,
                    verdict="NG" if score >= threshold else "OK",
                ),
            ),
        )
        for name, score in GOLDEN_SCORES.items()
    )
    changes = {
        "thresholds": variant.thresholds.model_copy(update={"score_threshold": threshold}),
        "golden": golden,
        "tolerances": tolerances or Tolerances(),
    }
    return plain.model_copy(
        update={
            "product": product,
            "serial": serial,
            "variants": (variant.model_copy(update=changes),),
        }
    )


def write_release(
    path: Path, manifest: Manifest | None = None, graph: str = "bright_inspector"
) -> Path:
    """Write a signed bundle with its golden set and return its path."""
    files = {**bright_files(graph), **golden_files()}
    path.parent.mkdir(parents=True, exist_ok=True)
    members = members_of(path.parent, files, manifest or manifest_of())
    path.write_bytes(signed_tar(members, signer()))
    return path
