"""A trusted signature is no licence: what a signed bundle may still not be.

The attacker here holds a trusted key, or has fooled its holder: every digest is right.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from support.malformed_tar import named
from support.onnx_protobuf import external_graphs, model
from support.signed_bundles import (
    NO_TERMS,
    Members,
    Signer,
    members_of,
    signed_tar,
    tar_of,
    trusting,
)

from deploy.bundles.sign import make_signature
from edge_app.bundle.signature import pae, signature_bytes, statement_bytes
from edge_app.bundle.verify import verify_bundle
from edge_app.errors import BundleError

SIGNER = Signer("line1")
Change = Callable[[Any], object]


def digests_of(members: Members) -> dict[str, str]:
    return {str(n): hashlib.sha256(d).hexdigest() for n, d in members}


def with_manifest(members: Members, change: Change) -> bytes:
    """Return the bundle with another manifest, signed."""
    manifest = json.loads(members[0][1])
    change(manifest)
    return signed_tar([("manifest.json", json.dumps(manifest).encode()), *members[1:]], SIGNER)


def with_graph(members: Members, graph: bytes) -> bytes:
    """Return the bundle with another graph, known to manifest and signature."""
    changed: Members = [(n, graph if n == "inspector.onnx" else d) for n, d in members]
    digest = {"sha256": hashlib.sha256(graph).hexdigest(), "length": len(graph)}
    return with_manifest(changed, lambda m: m["members"].update({"inspector.onnx": digest}))


def with_statement(members: Members, change: Change) -> bytes:
    """Return the bundle behind another statement, signed."""
    statement = json.loads(statement_bytes("bright", digests_of(members), NO_TERMS))
    change(statement)
    payload = json.dumps(statement).encode()
    signature = SIGNER.key.sign(pae(payload), ec.ECDSA(hashes.SHA256()))
    return tar_of([("bundle.sig", signature_bytes(payload, signature, SIGNER.key_id)), *members])


def with_name(members: Members, name: str) -> bytes:
    """Return a bundle with an empty file of a forbidden name, which its signature lists."""
    digests = digests_of(members) | {name: hashlib.sha256(b"").hexdigest()}
    text = make_signature("bright", digests, SIGNER.key, NO_TERMS)
    return tar_of([("bundle.sig", text), *members, (named(name), b"")])


def predicate(statement: Any) -> Any:
    return statement["predicate"]


MANIFESTS: dict[str, tuple[Callable[[Members], bytes], str]] = {
    "a file that only the signature lists": (
        lambda ms: signed_tar([*ms, ("extra.bin", b"x")], SIGNER),
        "do not match its manifest .not listed: extra.bin",
    ),
    "a file that only the manifest lists": (
        lambda ms: with_manifest(
            ms, lambda m: m["members"].update({"more.bin": {"sha256": "0" * 64, "length": 0}})
        ),
        "missing: more.bin",
    ),
    "a digest that only the signature knows": (
        lambda ms: with_manifest(ms, lambda m: m["members"]["report.html"].update(sha256="0" * 64)),
        "changed: report.html",
    ),
    "another length in the manifest": (
        lambda ms: with_manifest(ms, lambda m: m["members"]["report.html"].update(length=1)),
        "has other lengths for report.html",
    ),
    "an unknown key in the manifest": (
        lambda ms: with_manifest(ms, lambda m: m.update(command="reboot")),
        "command: Extra inputs are not permitted",
    ),
    "a manifest of another format": (
        lambda ms: with_manifest(ms, lambda m: m.update(format="cropliq-bundle/9")),
        "it needs 'cropliq-bundle/9', which this release",
    ),
    "a threshold that is not a number": (
        lambda ms: with_manifest(
            ms, lambda m: m["variants"][0]["thresholds"].update(score_threshold=float("nan"))
        ),
        "score_threshold",
    ),
    "a graph that is not there": (
        lambda ms: with_manifest(ms, lambda m: m["variants"][0].update(inspector="gone.onnx")),
        "it lacks gone.onnx",
    ),
    "a graph in a file of another kind": (
        lambda ms: with_manifest(ms, lambda m: m["variants"][0].update(inspector="report.html")),
        "the graph report.html is not an .onnx file",
    ),
    "a target that is no pattern": (
        lambda ms: with_manifest(ms, lambda m: m.update(targets=["graz"])),
        "expected SITE/LINE/DEVICE",
    ),
}

STATEMENTS: dict[str, tuple[Callable[[Members], bytes], str]] = {
    "a file listed twice": (
        lambda ms: with_statement(
            ms, lambda s: predicate(s)["resources"].append(predicate(s)["resources"][0])
        ),
        "lists a file twice",
    ),
    "a root digest that does not add up": (
        lambda ms: with_statement(ms, lambda s: s["subject"][0]["digest"].update(sha256="0" * 64)),
        "digests are inconsistent",
    ),
    "another kind of statement": (
        lambda ms: with_statement(ms, lambda s: s.update(predicateType="https://slsa.dev/v1")),
        "predicateType",
    ),
    "a weak digest": (
        lambda ms: with_statement(
            ms, lambda s: predicate(s)["resources"][0].update(algorithm="md5")
        ),
        "algorithm",
    ),
    "permission for links": (
        lambda ms: with_statement(
            ms, lambda s: predicate(s)["serialization"].update(allow_symlinks=True)
        ),
        "allow_symlinks",
    ),
    "an expiry without a time zone": (
        lambda ms: with_statement(
            ms, lambda s: predicate(s)["cropliq"].update(expires_at="2030-01-01T00:00:00")
        ),
        "has no time zone",
    ),
    "terms from the future": (
        lambda ms: with_statement(ms, lambda s: predicate(s)["cropliq"].update(only_on="Mondays")),
        "only_on: Extra inputs",
    ),
}

NAMES: dict[str, tuple[Callable[[Members], bytes], str]] = {
    f"a signed file called {name!r}": (
        lambda ms, n=name: with_name(ms, n),  # type: ignore[misc]
        "is not allowed",
    )
    for name in (
        "../evil",
        "/etc/evil",
        "golden/../../evil",
        "..\\evil",
        "./evil",
        ".hidden",
        "-rf",
    )
}

GRAPHS: dict[str, tuple[Callable[[Members], bytes], str]] = {
    **{
        f"external data in {where}": (
            lambda ms, g=graph: with_graph(ms, g),  # type: ignore[misc]
            "keeps tensors in other files",
        )
        for where, graph in external_graphs().items()
    },
    "a graph that is no protobuf": (
        lambda ms: with_graph(ms, b"\xff" * 100),
        "inspector.onnx is not an ONNX file",
    ),
    "a graph in ONNX Runtime's own format": (
        lambda ms: with_graph(ms, model()[:4].ljust(4, b"\0") + b"ORTM" + b"\0" * 8),
        "is in ORT format",
    ),
}

TABLE = {**MANIFESTS, **STATEMENTS, **NAMES, **GRAPHS}


@pytest.mark.parametrize("attack", TABLE)
def test_a_signed_bundle_that_breaks_the_rules_is_refused(tmp_path: Path, attack: str) -> None:
    """A valid signature does not excuse contents that no bundle may have."""
    make, told = TABLE[attack]
    path = tmp_path / "signed.bundle"
    path.write_bytes(make(members_of(tmp_path)))
    with pytest.raises(BundleError, match=told):
        verify_bundle(path, trusting(SIGNER.public()))
    assert list(tmp_path.iterdir()) == [path]
