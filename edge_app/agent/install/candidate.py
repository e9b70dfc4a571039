"""From a file to a release: disk space, signature, rules, self-check. Nothing is active yet.

A refusal here leaves the old model, the links and the records unchanged.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_app.agent.install.trial_process import CheckResult
from edge_app.bundle.verify import VerifiedBundle
from edge_app.errors import BundleError
from edge_app.store.bundle_store import Store
from edge_app.store.release_info import Card

_CLAIM = re.compile(r"(?:.*-)?([0-9a-f]{64})")
"""The file name that `download.py` gives."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A verified release in the store."""

    sha256: str
    product: str
    serial: int
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class Checks:
    """What a bundle has to pass; each raises BundleError.

    Attributes:
        verify: its signature and every member's digest.
        admit: target, serial against the high-water mark, expiry.
        try_out: loads every graph and judges the golden set in a process of its own.
        min_free: bytes that must stay free on the store's disk.
    """

    verify: Callable[[Path], VerifiedBundle]
    admit: Callable[[VerifiedBundle, int | None], None]
    try_out: Callable[[Path], CheckResult]
    min_free: int


@dataclass(frozen=True, slots=True)
class Verified:
    """A file with a valid signature, by `key_id`, that is admissible on this device."""

    file: Path
    sha256: str
    product: str
    serial: int
    key_id: str


def claimed_sha256(file: Path) -> str | None:
    """Return the digest that a file's name claims, e.g. main-DIGEST.bundle; None without one."""
    found = _CLAIM.fullmatch(file.stem)
    return found[1] if found else None


def verify_file(store: Store, checks: Checks, file: Path) -> Verified:
    """Return the file, below `incoming` or among the releases, once it is verified and admissible.

    Raises:
        BundleError: no file, no room, not signed by a trusted key, altered, not for this device,
            too old.
        OSError: it cannot be copied.
    """
    source = _where(store, file)
    length = _length_of(source)
    is_here = source.parent in (store.incoming, store.release("").parent)
    store.check_space(0 if is_here else length, checks.min_free)
    file = source if is_here else store.bring_in(source)
    try:
        bundle = checks.verify(file)
        checks.admit(bundle, store.high_water(bundle.manifest.product))
    except (BundleError, OSError):
        _forget(store, file)
        raise
    about = bundle.manifest
    return Verified(file, bundle.sha256, about.product, about.serial, bundle.key_id)


def try_out(store: Store, checks: Checks, found: Verified) -> Candidate:
    """Return what the file is as a release, once its trial in a process of its own has passed.

    Raises:
        BundleError: it crashed, hung, returned NaN or another verdict than expected.
    """
    try:
        result = checks.try_out(found.file)
    except (BundleError, OSError):
        _forget(store, found.file)
        raise
    return Candidate(found.sha256, found.product, found.serial, result.memory_mb)


def admit(store: Store, found: Verified, candidate: Candidate) -> None:
    """Move a tried file among the releases, if it is not there already.

    Raises:
        OSError: it cannot be moved; nothing of it is left.
    """
    if found.file == store.release(found.sha256):
        return
    card = Card(product=found.product, serial=found.serial, memory_mb=candidate.memory_mb)
    try:
        store.admit(found.file, found.sha256, card)
    except OSError:
        _forget(store, found.file)
        raise


def installed_candidate(store: Store, slot: str, product: str) -> Candidate:
    """Return an installed product's bundle.

    Raises:
        BundleError: the slot has no such product, or its file is gone.
    """
    installed = store.installed(slot)
    sha256 = installed.get(product)
    if sha256 is None:
        known = ", ".join(installed) or "none yet"
        raise BundleError(
            f"slot {slot} has no product {product!r}; installed: {known}. Install its bundle first."
        )
    if not store.has(sha256):
        raise BundleError(f"the bundle of {product} is gone from the store; install it again.")
    return candidate_of(store, sha256, product)


def candidate_of(store: Store, sha256: str, product: str = "") -> Candidate:
    """Return a release by its digest, with what its card says."""
    card = store.card(sha256)
    if card is None:
        return Candidate(sha256, product, 0)
    return Candidate(sha256, card.product, card.serial, card.memory_mb)


def _where(store: Store, file: Path) -> Path:
    """Return the file's path: an earlier order may have moved it to the releases."""
    claimed = claimed_sha256(file)
    if file.parent == store.incoming and not file.exists() and claimed and store.has(claimed):
        return store.release(claimed)
    return file


def _length_of(file: Path) -> int:
    """Return a plain file's length in bytes; a device would be copied without end.

    Raises:
        BundleError: it is not there, not a plain file, or this user may not read it.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not block
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BundleError(
            f"{file} cannot be read: {error.strerror}. The agent reads it with its own user's "
            "rights; copy it where that user can read it."
        ) from error
    if not stat.S_ISREG(found.st_mode):
        raise BundleError(f"{file} is not a plain file; expected a signed bundle.")
    return found.st_size


def _forget(store: Store, file: Path) -> None:
    if file.parent == store.incoming:
        store.discard(file)
