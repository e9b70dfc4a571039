"""`bundle.sig`: a Sigstore Bundle JSON with a DSSE envelope over an in-toto statement of digests.

The format is OpenSSF model signing 1.0 with an elliptic key, so `model_signing verify key` reads
it too. docs/bundle_format.md has the bytes, decision 0022 why there are two forms of them. Nothing
here reads files.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from edge_app.bundle.strict import Sha256
from edge_app.bundle.trusted_keys import TrustedKey, TrustPolicy
from edge_app.errors import BundleError

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""n of the curve P-256 (FIPS 186-5): (r, n - s) is a signature over all that (r, s) is over."""

PAYLOAD_TYPE: Literal["application/vnd.in-toto+json"] = "application/vnd.in-toto+json"


class _Json(BaseModel):
    model_config = ConfigDict(
        defer_build=True,
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
    )


class _PublicKeyHint(_Json):
    hint: Sha256


class _Material(_Json):
    public_key: _PublicKeyHint
    tlog_entries: Annotated[list[None], Field(max_length=0)] = []


class _EnvelopeSignature(_Json):
    sig: str
    keyid: Literal[""] = ""


class _Envelope(_Json):
    payload: str
    payload_type: Literal["application/vnd.in-toto+json"] = PAYLOAD_TYPE
    signatures: Annotated[tuple[_EnvelopeSignature, ...], Field(min_length=1, max_length=1)]


class _SigstoreBundle(_Json):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = (
        "application/vnd.dev.sigstore.bundle.v0.3+json"
    )
    verification_material: _Material
    dsse_envelope: _Envelope


class SigningTerms(BaseModel):
    """The signer's terms, added to the digests; other verifiers of model signing ignore them.

    Attributes:
        expires_at: from then on nothing is installed with this signature.
        allow_back: it may replace a newer serial of its product.
    """

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    expires_at: datetime | None = None
    allow_back: bool = False


class _Serialization(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    method: Literal["files"] = "files"
    hash_type: Literal["sha256"] = "sha256"
    allow_symlinks: Literal[False] = False
    ignore_paths: tuple[str, ...] = ("bundle.sig",)


class _Resource(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    name: str
    algorithm: Literal["sha256"] = "sha256"
    digest: Sha256


class _Predicate(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    serialization: _Serialization = _Serialization()
    resources: tuple[_Resource, ...]
    cropliq: SigningTerms = SigningTerms()


class _RootDigest(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    sha256: Sha256


class _Subject(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    name: str
    digest: _RootDigest


class _Statement(_Json):
    statement_type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")] = (
        "https://in-toto.io/Statement/v1"
    )
    subject: Annotated[tuple[_Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Literal["https://model_signing/signature/v1.0"] = (
        "https://model_signing/signature/v1.0"
    )
    predicate: _Predicate


@dataclass(frozen=True, slots=True)
class Signed:
    """What a trusted key has signed.

    Attributes:
        digests: member name → sha256, every member but bundle.sig.
        has_one_form: the statement is canonical JSON, as every release after 0.1.0 signs it: its
            key has then signed one file and no other spelling of it.
    """

    key: TrustedKey
    digests: Mapping[str, str]
    terms: SigningTerms
    has_one_form: bool


def statement_bytes(product: str, digests: Mapping[str, str], terms: SigningTerms) -> bytes:
    """Return what is signed: the in-toto statement over the members' digests, as canonical JSON.

    Args:
        product: names the statement's subject; informative.
        digests: member name → sha256.
    """
    ordered = sorted(digests, key=PurePosixPath)
    statement = _Statement(
        subject=(_Subject(name=product, digest=_RootDigest(sha256=_root(digests, ordered))),),
        predicate=_Predicate(
            resources=tuple(_Resource(name=n, digest=digests[n]) for n in ordered), cropliq=terms
        ),
    )
    return _canonical(statement)


def signature_bytes(payload: bytes, signature: bytes, key_id: str) -> bytes:
    """Return the content of bundle.sig.

    Args:
        payload: `statement_bytes`.
        signature: over `pae(payload)`, ASN.1 DER, `with_low_s`.
    """
    bundle = _SigstoreBundle(
        verification_material=_Material(public_key=_PublicKeyHint(hint=key_id)),
        dsse_envelope=_Envelope(
            payload=_encoded(payload), signatures=(_EnvelopeSignature(sig=_encoded(signature)),)
        ),
    )
    return _canonical(bundle)


def with_low_s(signature: bytes) -> bytes:
    """Return the one spelling of a signature (ASN.1 DER): of s and n - s the smaller one."""
    # Here, as in trusted_keys.py: a device without keys does without the library (decision 0032).
    from cryptography.hazmat.primitives.asymmetric.utils import (
        decode_dss_signature,
        encode_dss_signature,
    )

    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, P256_ORDER - s))


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return DSSE's pre-authentication encoding: the bytes that the signature is over.

    Args:
        payload_type: ASCII; what is signed as one type never passes as another.

    Source: https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md
    """
    return b"DSSEv1 %d %s %d " % (len(payload_type), payload_type.encode(), len(payload)) + payload


def verify_signature(text: bytes, trust: TrustPolicy, label: str) -> Signed:
    """Return what the signature covers, if a trusted key made it.

    The statement inside is parsed only after the signature over it has been checked. Its own form
    says which release signed it: of a canonical one everything around it must be canonical too.

    Raises:
        BundleError: the JSON is of another form, the key is not trusted or revoked, the signature
            is not the key's, or the statement contradicts itself.
    """
    bundle = _parsed(_SigstoreBundle, text, label)
    envelope = bundle.dsse_envelope
    key = trust.key(bundle.verification_material.public_key.hint, label)
    payload = _decoded(envelope.payload, label)
    signature = _decoded(envelope.signatures[0].sig, label)
    if not key.has_signed(pae(payload), signature):
        raise BundleError(
            f"Bundle {label} refused: its signature is not the one of key {key.name} over its "
            "list of files. It was altered or damaged: copy or sign it again."
        )
    predicate = _checked_statement(payload, label).predicate
    digests = {r.name: r.digest for r in predicate.resources}
    has_one_form = payload == _canonical_json(json.loads(payload))
    if has_one_form and text != signature_bytes(payload, with_low_s(signature), key.key_id):
        raise BundleError(
            f"Bundle {label} refused: bundle.sig was changed after it was signed, although "
            "what it says is the same. Copy or sign it again."
        )
    return Signed(key, digests, predicate.cropliq, has_one_form)


def _checked_statement(payload: bytes, label: str) -> _Statement:
    statement = _parsed(_Statement, payload, label)
    names = [r.name for r in statement.predicate.resources]
    digests = {r.name: r.digest for r in statement.predicate.resources}
    expires_at = statement.predicate.cropliq.expires_at
    if len(digests) != len(names):
        raise BundleError(f"Bundle {label} refused: its signature lists a file twice.")
    if statement.subject[0].digest.sha256 != _root(digests, names):
        raise BundleError(f"Bundle {label} refused: its signature's digests are inconsistent.")
    if expires_at is not None and expires_at.tzinfo is None:
        raise BundleError(f"Bundle {label} refused: its expiry {expires_at} has no time zone.")
    return statement


def _root(digests: Mapping[str, str], names: list[str]) -> str:
    """Return the digest over all digests in the order listed, as model signing defines it."""
    return hashlib.sha256(b"".join(bytes.fromhex(digests[n]) for n in names)).hexdigest()


def _canonical(model: BaseModel) -> bytes:
    return _canonical_json(model.model_dump(mode="json", by_alias=True))


def _canonical_json(value: object) -> bytes:
    """Return the one spelling of a JSON value without numbers: RFC 8785."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


_Model = TypeVar("_Model", bound=BaseModel)


def _parsed(model: type[_Model], text: bytes, label: str) -> _Model:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()
        )
        raise BundleError(
            f"Bundle {label} refused: bundle.sig is not of the form that this version reads: "
            f"{problems}"
        ) from error


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(text: str, label: str) -> bytes:
    """Return the bytes of a base64 text, of which there is only one spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data or _encoded(data) != text:
        raise BundleError(f"Bundle {label} refused: bundle.sig holds damaged base64.")
    return data
