"""What a start does with memory: no garbage is looked for, and what was freed is given back."""

from __future__ import annotations

import gc
import platform

import pytest

from edge_app.host.memory import give_back_freed, no_collections


def test_garbage_is_looked_for_again_afterwards() -> None:
    """Inside nothing is collected by itself; behind it, it is as before, after an error too."""
    assert gc.isenabled()
    with no_collections():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="wrong"), no_collections():
        raise ValueError("wrong")
    assert gc.isenabled()


def test_whoever_had_switched_it_off_keeps_it_off() -> None:
    """It restores what it found."""
    gc.disable()
    try:
        with no_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_giving_back_needs_glibc_and_says_so() -> None:
    """Where the C library has the call it is made; what is in use stays."""
    kept = [bytes([n]) * 10_000 for n in range(256)]
    is_given_back = give_back_freed()
    assert is_given_back == (platform.libc_ver()[0] == "glibc")
    assert all(kept[n] == bytes([n]) * 10_000 for n in range(256))
