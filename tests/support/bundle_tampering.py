"""What somebody without a trusted key can do to a bundle: how it is made, what is said of it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable

from support.malformed_tar import named, of_kind, prefixed, sized
from support.signed_bundles import Signer, full_files, signed_tar, tar_of
from support.small_bundles import bright_manifest
from support.tampering_target import Victim, envelope, flip_text, flipped, impersonated, swapped

Attack = Callable[[Victim], bytes]

FLIPS: dict[str, tuple[Attack, str]] = {
    f"a flipped byte in {name}": (
        lambda v, n=name: v.with_content(n, flipped),  # type: ignore[misc]
        f"do not match its signature .changed: {name}",
    )
    for name in ("manifest.json", *full_files())
}

SIGNATURES: dict[str, tuple[Attack, str]] = {
    "a flipped character in the signature": (
        lambda v: v.with_signature(lambda d: flip_text(envelope(d)["signatures"][0], "sig")),
        "its signature is not the one of key line1",
    ),
    "a flipped character in the signed statement": (
        lambda v: v.with_signature(lambda d: flip_text(envelope(d), "payload")),
        "its signature is not the one of key line1",
    ),
    "a flipped character in the key's id": (
        lambda v: v.with_signature(
            lambda d: flip_text(d["verificationMaterial"]["publicKey"], "hint")
        ),
        "not trusted here",
    ),
    "another payload type": (
        lambda v: v.with_signature(lambda d: envelope(d).update(payloadType="text/html")),
        "payloadType",
    ),
    "an unknown key in the signature": (
        lambda v: v.with_signature(lambda d: d.update(certificate="x")),
        "certificate: Extra inputs",
    ),
    "two signatures": (
        lambda v: v.with_signature(lambda d: envelope(d)["signatures"].append({"sig": "AA=="})),
        "at most 1 item",
    ),
    "no signature in the envelope": (
        lambda v: v.with_signature(lambda d: envelope(d).update(signatures=[])),
        "at least 1 item",
    ),
    "base64 of a second spelling": (
        lambda v: v.with_signature(lambda d: envelope(d).update(payload="AB==")),
        "damaged base64",
    ),
    "a signature that is no JSON": (
        lambda v: v.behind(v.members, b"\x00\xff"),
        "bundle.sig is not of the form",
    ),
    "a signature of nested brackets": (
        lambda v: v.behind(v.members, b"[" * 200_000),
        "bundle.sig is not of the form",
    ),
    "a stranger's signature": (
        lambda v: signed_tar(v.members, Signer("stranger")),
        "which is not trusted here. Trusted: line1",
    ),
    "a stranger's signature under a trusted key's id": (
        impersonated,
        "its signature is not the one of key line1",
    ),
    "no signature at all": (lambda v: tar_of(v.members), "it is not signed"),
    "the signature not in the first place": (
        lambda v: tar_of([*v.members, ("bundle.sig", v.signature)]),
        "it is not signed .its first member is not bundle.sig",
    ),
    "a second signature behind the first": (
        lambda v: v.behind([("bundle.sig", v.signature), *v.members]),
        "bundle.sig must come first",
    ),
    "the signature of another bundle": (
        lambda v: v.behind(v.members, v.signer.sign([("manifest.json", b"other"), *v.members[1:]])),
        "changed: manifest.json",
    ),
}

FILES: dict[str, tuple[Attack, str]] = {
    "two files swapped": (
        lambda v: v.behind(swapped(v.members, "golden/0001.jpg", "report.html")),
        "changed: golden/0001.jpg, report.html",
    ),
    "an extra file": (
        lambda v: v.behind([*v.members, ("extra.bin", b"x")]),
        "not listed: extra.bin",
    ),
    "a missing file": (lambda v: v.behind(v.members[:-1]), "missing: report.html"),
    "a file twice": (lambda v: v.behind([*v.members, v.members[1]]), "onnx is in it twice"),
    "the manifest twice": (
        lambda v: v.behind([v.members[0], *v.members]),
        "manifest.json is in it twice",
    ),
    "no manifest": (lambda v: v.behind(v.members[1:]), "missing: manifest.json"),
    "a manifest of another bundle": (
        lambda v: v.behind(
            [("manifest.json", bright_manifest().model_dump_json().encode()), *v.members[1:]]
        ),
        "changed: manifest.json",
    ),
    "bytes in the padding behind a file": (
        lambda v: flipped(v.whole, v.whole.index(v.members[-1][1]) + len(v.members[-1][1])),
        "something behind report.html that no digest covers",
    ),
    "bytes behind the end": (lambda v: v.whole + b"x", "something behind its end"),
    "bytes in the zeros of the end": (lambda v: flipped(v.whole, -1), "something behind its end"),
    "an empty file": (lambda v: b"", "is not a bundle"),
    "only zeros": (lambda v: b"\0" * 10240, "it is not signed"),
    "a compressed tar": (lambda v: b"\x1f\x8b" + b"\0" * 1022, "is not a bundle"),
}

PATHS: dict[str, tuple[Attack, str]] = {
    told: (lambda v, h=head: v.behind([*v.members, (h, b"")]), why)  # type: ignore[misc]
    for told, head, why in (
        ("a path that climbs out", named("../evil"), "not allowed"),
        ("an absolute path", named("/etc/evil"), "not allowed"),
        ("a path that climbs out of golden", named("golden/../../evil"), "not allowed"),
        ("a path with backslashes", named("..\\evil"), "not allowed"),
        ("a path through the current folder", named("./manifest.json"), "not allowed"),
        ("a path split over two fields", prefixed(b"/etc"), "header of '/etc/evil' is damaged"),
        ("a path behind a zero byte", named("a\0/../../evil"), "header of 'a' is damaged"),
        ("a name with a line break", named("evil\n"), "not allowed"),
        ("a name that is not ASCII", named("évil"), "is damaged or of another type"),
        ("an empty name", named(""), "not allowed"),
    )
}

KINDS: dict[str, tuple[Attack, str]] = {
    told: (
        lambda v, k=kind, t=target: v.behind([*v.members, (of_kind(k, t), b"")]),  # type: ignore[misc]
        "thing.bin/? is not a plain file",
    )
    for told, kind, target in (
        ("a symbolic link", tarfile.SYMTYPE, "/etc/passwd"),
        ("a hard link", tarfile.LNKTYPE, "manifest.json"),
        ("a character device", tarfile.CHRTYPE, ""),
        ("a block device", tarfile.BLKTYPE, ""),
        ("a pipe", tarfile.FIFOTYPE, ""),
        ("a folder", tarfile.DIRTYPE, ""),
        ("a sparse file", tarfile.GNUTYPE_SPARSE, ""),
        ("a pax header", tarfile.XHDTYPE, ""),
        ("a global pax header", tarfile.XGLTYPE, ""),
        ("a long name of GNU", tarfile.GNUTYPE_LONGNAME, ""),
    )
}

BOMBS: dict[str, tuple[Attack, str]] = {
    "a signature of 300 kB": (
        lambda v: v.behind(v.members, b" " * 300_000),
        "bundle.sig is larger than 262144 bytes",
    ),
    "a signature that announces 8 GiB": (
        lambda v: sized("bundle.sig", b"7" * 11 + b"\0"),
        "is cut off inside bundle.sig: 8589934591 bytes are announced, 0 are there",
    ),
    "a size in the binary notation of GNU": (
        lambda v: sized("bundle.sig", b"\x80" + b"\0" * 10 + b"\x01"),
        "damaged or of another type",
    ),
    "a negative size": (
        lambda v: sized("bundle.sig", b"-0000000001\0"),
        "damaged or of another type",
    ),
    "a manifest of 9 MB": (
        lambda v: v.behind([("manifest.json", b" " * 9_000_000), *v.members[1:]]),
        "manifest.json is larger than 8388608 bytes",
    ),
    "a file that announces more than there is": (
        lambda v: v.behind([*v.members, (sized("big.bin", b"00777777777\0"), b"")]),
        "is cut off inside big.bin",
    ),
    "a thousand empty files": (
        lambda v: v.behind([*v.members, *((f"f{n}", b"") for n in range(1000))]),
        "more than 200 files",
    ),
}

TABLE = {**FLIPS, **SIGNATURES, **FILES, **PATHS, **KINDS, **BOMBS}
