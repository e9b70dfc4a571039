"""What is signed has one form: whatever is changed or added to the file, it is refused."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from support.signed_bundles import Signer, full_files, trusting
from support.small_bundles import bright_manifest
from support.tampering_target import envelope

from deploy.bundles.sign import sign_bundle
from edge_app.bundle.archive import write_bundle
from edge_app.bundle.signature import SigningTerms
from edge_app.bundle.trusted_keys import load_trust
from edge_app.bundle.ustar import BLOCK, entry_bytes
from edge_app.bundle.verify import verify_bundle
from edge_app.errors import BundleError

SIGNER = Signer("line1")
TRUST = trusting(SIGNER.public())
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
OLD = Path(__file__).parents[2] / "fixtures" / "signed_v1"


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a bundle as `edge-deploy sign` writes it."""
    folder = tmp_path_factory.mktemp("signed")
    write_bundle(folder / "a.bundle", bright_manifest(), full_files())
    sign_bundle(folder / "a.bundle", SIGNER.key, folder / "s.bundle", SigningTerms())
    return (folder / "s.bundle").read_bytes()


def is_refused(path: Path, data: bytes) -> bool:
    path.write_bytes(data)
    try:
        verify_bundle(path, TRUST)
    except BundleError:
        return True
    return False


def text_of(bundle: bytes) -> bytes:
    """Return the content of bundle.sig."""
    return bundle[BLOCK : BLOCK + int(bundle[124:135], 8)]


def behind(text: bytes, bundle: bytes) -> bytes:
    """Return the bundle with another bundle.sig, correctly stored."""
    return (
        entry_bytes("bundle.sig", text) + bundle[len(entry_bytes("bundle.sig", text_of(bundle))) :]
    )


def other_s(text: bytes) -> bytes:
    """Return the signature file with n - s in the place of s: valid for the same key."""
    document = json.loads(text)
    (entry,) = envelope(document)["signatures"]
    r, s = decode_dss_signature(base64.b64decode(entry["sig"]))
    changed = base64.b64encode(encode_dss_signature(r, P256_ORDER - s)).decode()
    return text.replace(entry["sig"].encode(), changed.encode())


def test_what_is_signed_verifies(signed: bytes, tmp_path: Path) -> None:
    assert not is_refused(tmp_path / "x", signed)
    assert behind(text_of(signed), signed) == signed


def test_every_changed_byte_is_refused(signed: bytes, tmp_path: Path) -> None:
    """Every byte of the signature and of what surrounds it, every 29th of the rest."""
    chance = random.Random(1)
    edge = len(entry_bytes("bundle.sig", text_of(signed)))
    for at in (*range(edge), *range(edge, len(signed), 29)):
        value = (signed[at] + chance.randrange(1, 256)) % 256
        assert is_refused(tmp_path / "x", signed[:at] + bytes([value]) + signed[at + 1 :]), at


def test_every_added_byte_is_refused(signed: bytes, tmp_path: Path) -> None:
    """A zero, a blank, a bracket: anywhere, behind the end too."""
    for at in (*range(0, len(signed), 127), len(signed)):
        for added in (b"\0", b" ", b"}"):
            assert is_refused(tmp_path / "x", signed[:at] + added + signed[at:]), (at, added)


def test_every_other_end_is_refused(signed: bytes, tmp_path: Path) -> None:
    """Zeros are bytes too: one more, one block or one record more, or as many fewer."""
    for count in (1, BLOCK, 2 * BLOCK, 20 * BLOCK, 100 * BLOCK):
        assert is_refused(tmp_path / "x", signed + b"\0" * count), count
    zeros = len(signed) - len(signed.rstrip(b"\0"))
    for count in (1, BLOCK, (zeros - 1) // BLOCK * BLOCK):
        assert is_refused(tmp_path / "x", signed[:-count]), count


def blanks(text: bytes) -> Iterator[bytes]:
    """Yield the JSON with a blank at every place where JSON allows one."""
    inside = False
    for at, char in enumerate(text):
        if char == ord('"'):
            inside = not inside
        if not inside and chr(char) in '{}[],:"':
            for blank in b" \n\t\r":
                yield text[: at + 1] + bytes([blank]) + text[at + 1 :]
    yield b" " + text


def escapes(text: bytes) -> Iterator[bytes]:
    """Yield the JSON with one letter of a text written as an escape."""
    for at, char in enumerate(text):
        if chr(char).isalnum() and at % 5 == 0:
            yield text[:at] + b"\\u%04x" % char + text[at + 1 :]


def doubled(text: bytes) -> Iterator[bytes]:
    """Yield the JSON with one key twice, in every object."""
    for at, char in enumerate(text):
        if char == ord("{"):
            key = text[at + 1 : text.index(b":", at)]
            yield text[: at + 1] + key + b":null," + text[at + 1 :]


def orders(text: bytes) -> Iterator[bytes]:
    document: dict[str, Any] = json.loads(text)
    yield json.dumps(dict(reversed(document.items())), separators=(",", ":")).encode()
    yield json.dumps(document).encode()


@pytest.mark.parametrize("spell", [blanks, escapes, doubled, orders])
def test_another_spelling_of_the_signature_is_refused(
    signed: bytes, tmp_path: Path, spell: Callable[[bytes], Iterator[bytes]]
) -> None:
    """The same JSON to a reader, and the same key's signature: still not what was signed."""
    tried = 0
    for text in spell(text_of(signed)):
        assert is_refused(tmp_path / "x", behind(text, signed)), text
        tried += 1
    assert tried >= 2


def test_the_other_s_is_refused(signed: bytes, tmp_path: Path) -> None:
    assert is_refused(tmp_path / "x", behind(other_s(text_of(signed)), signed))


def test_the_smaller_s_is_written_always(tmp_path: Path) -> None:
    """About half of all signatures would have the larger one."""
    write_bundle(tmp_path / "a.bundle", bright_manifest(), full_files())
    for _ in range(16):
        sign_bundle(tmp_path / "a.bundle", SIGNER.key, tmp_path / "s.bundle", SigningTerms())
        document = json.loads(text_of((tmp_path / "s.bundle").read_bytes()))
        (entry,) = envelope(document)["signatures"]
        _, s = decode_dss_signature(base64.b64decode(entry["sig"]))
        assert s <= P256_ORDER // 2


def test_files_in_another_order_are_refused(signed: bytes, tmp_path: Path) -> None:
    """Each has its digest; the order is the manifest's."""
    start = len(entry_bytes("bundle.sig", text_of(signed)))
    golden = signed.index(b"golden/0001.jpg\0")
    report = signed.index(b"report.html\0")
    end = report + len(entry_bytes("report.html", full_files()["report.html"]))
    swapped = signed[:golden] + signed[report:end] + signed[golden:report] + signed[end:]
    assert start < golden < report
    assert is_refused(tmp_path / "x", swapped)


@pytest.mark.parametrize("spell", [lambda text: text, other_s])
def test_what_0_1_0_signed_verifies_with_either_s(
    tmp_path: Path, spell: Callable[[bytes], bytes]
) -> None:
    """The committed bundle of release 0.1.0, and the one that its coin could have made."""
    old = (OLD / "bright.bundle").read_bytes()
    (tmp_path / "old.bundle").write_bytes(behind(spell(text_of(old)), old))
    assert verify_bundle(tmp_path / "old.bundle", load_trust(OLD)).manifest.product == "bright"


def test_what_0_1_0_signed_is_signed_anew_in_the_one_form(tmp_path: Path) -> None:
    """Its files are as they were; only the signature is ours."""
    sign_bundle(OLD / "bright.bundle", SIGNER.key, tmp_path / "new.bundle", SigningTerms())
    data = (tmp_path / "new.bundle").read_bytes()
    assert not is_refused(tmp_path / "x", data)
    assert is_refused(tmp_path / "x", data + b"\0" * BLOCK)
