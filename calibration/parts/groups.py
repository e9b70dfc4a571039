"""Pictures that show the same part at nearly the same moment: one group, one side of every split.

Re-encoded copies, bursts and the frames of a video are near-duplicates; different good parts in
one fixture are not, although they look almost alike. So a pair is measured twice, against noise
and against the set's own variation:

1. Grey thumbnails of 48 px, each less its mean: their root-mean-square difference is below
   `NOISE`, and below `RATIO` of the median difference of both pictures to all others.
2. In colour at 160 px no place differs by more than a shift of one pixel explains.

Pairs are joined into groups. A group that holds a large share of the set is no burst but one of
the products or lights in it (a fixture, photographed in two colours): it is judged again by
itself. Chosen on public good parts, the simulated line and copies of both (docs/build.md); a set
in which every picture is a near-duplicate of every other cannot be told from a steady fixture,
and nothing is joined there but pictures equal to a fraction of a grey level; who knows from
elsewhere how far different parts lie apart (calibration does, from the golden set) says so.
Equal pictures are joined before anything is measured: copies do not change what is usual.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import F32Array, U8Array

THUMB_PX, FINE_PX = 48, 160

NOISE = 2.5
"""Grey levels; frames of one part differ by 0.8 to 2.5 (conveyor, gripper), screws by 3.6."""

RATIO = 0.08
"""Of the median difference; frames 0.03 to 0.08, nearest different parts 0.087 and more."""

EQUAL = 0.03
"""Grey levels: the same pixels in another format, or all of them one level brighter."""

LOCAL = 12.0
"""Grey levels beyond the neighbouring pixels' range that `LOCAL_SHARE` of the places may exceed."""

LOCAL_SHARE = 0.001

MOST_BRIGHTER, MOST_TINTED = 16.0, 4.0
"""Grey levels between the means, and between the channels' means besides that."""

LARGE, LARGE_SHARE = 12, 0.25
"""A group of more pictures and of more than this share of its set is judged again by itself."""

NEIGHBOURS = 8
"""Pairs are looked at closely between each picture and this many of the nearest."""

_BLOCK = 512

I64Array = NDArray[np.int64]


def perceptual_groups(
    pictures: Sequence[Any], read: Callable[[Any], U8Array] | None = None
) -> tuple[int, ...]:
    """Return a group number per picture, in their order; near-duplicates share one.

    Groups are numbered from 0 as they first appear. Which pictures share one depends on the
    pixels alone, not on order or names.

    Args:
        pictures: anything `read` takes; near-duplicates are read twice, others once.
        read: gives uint8 (h, w, 3) BGR; None: the picture's own `read()`.
    """
    reads = read or (lambda picture: np.asarray(picture.read(), np.uint8))
    thumbs = [thumbnail(reads(picture)) for picture in pictures]
    return groups_of(thumbs, lambda index: reads(pictures[index]))


def thumbnail(pixels_hwc: U8Array) -> F32Array:
    """Return float32 (48, 48): grey levels of uint8 (h, w, 3), less their mean."""
    grey = _resized(cv2.cvtColor(pixels_hwc, cv2.COLOR_BGR2GRAY), THUMB_PX)
    return np.asarray(grey - grey.mean(), np.float32)


def groups_of(
    thumbs: Sequence[F32Array], read: Callable[[int], U8Array], usual_rms: float = 0.0
) -> tuple[int, ...]:
    """Return what `perceptual_groups` returns, for who has the thumbnails already.

    Args:
        thumbs: of every picture, float32 (48, 48).
        read: gives the pixels of the picture with that index, uint8 (h, w, 3).
        usual_rms: grey levels by which different parts are known to differ, see `nearest_rms`;
            the set's own median is not taken below it. 0: nothing is known.
    """
    if not thumbs:
        return ()
    flat = np.stack(thumbs).reshape(len(thumbs), -1)  # (n, 2304)
    fine = _FineLooks(read)
    copy_of = _exact_copies(flat, fine)
    parent = copy_of.copy()
    for members in _judged(np.unique(copy_of), flat, fine, usual_rms):
        parent[members] = members.min()
    parent = parent[copy_of]
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(int(root), len(numbers)) for root in parent)


def nearest_rms(thumbs: Sequence[F32Array]) -> float:
    """Return the median difference of different parts' thumbnails to their nearest other.

    Grey levels; 0 for fewer than three, which say nothing. Below the median difference to all
    others, so that a set of two colours in one fixture joins none of its parts.
    """
    if len(thumbs) < 3:
        return 0.0
    flat = np.stack(thumbs).reshape(len(thumbs), -1)
    rms = np.sqrt(np.mean((flat[:, None] - flat[None]) ** 2, axis=2))
    np.fill_diagonal(rms, np.inf)
    return float(np.median(rms.min(axis=1)))


def _exact_copies(flat: F32Array, fine: _FineLooks) -> I64Array:
    """Return (n,) for each picture the first one that is its equal, itself where none is before."""
    first: dict[bytes, list[int]] = {}
    copy_of = np.arange(len(flat))
    for index, row in enumerate(flat):
        same_grey = first.setdefault(row.tobytes(), [])
        copy_of[index] = next((o for o in same_grey if fine.are_alike(o, index)), index)
        if copy_of[index] == index:
            same_grey.append(index)
    return copy_of


class _FineLooks:
    """The 160-pixel looks of pictures, each read when it is first asked for."""

    def __init__(self, read: Callable[[int], U8Array]) -> None:
        self._read = read
        self._kept: dict[int, U8Array] = {}

    def are_alike(self, one: int, other: int) -> bool:
        """Tell whether nothing but light, noise and a shift of a pixel tells two apart."""
        a, b = (self._look(index).astype(np.float32) for index in (one, other))
        change = b.mean(axis=(0, 1)) - a.mean(axis=(0, 1))  # (3,)
        if abs(change.mean()) > MOST_BRIGHTER or np.ptp(change) > MOST_TINTED:
            return False
        beyond = np.maximum(_beyond(a + change, b), _beyond(b, a + change))
        return int(np.count_nonzero(beyond > LOCAL)) <= LOCAL_SHARE * beyond.size

    def _look(self, index: int) -> U8Array:
        if index not in self._kept:
            fine = _resized(self._read(index), FINE_PX)
            self._kept[index] = np.clip(np.rint(fine), 0, 255).astype(np.uint8)
        return self._kept[index]


def _resized(pixels: Any, side_px: int) -> F32Array:
    shrunk = cv2.resize(pixels, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.float32)


def _beyond(a: F32Array, b: F32Array) -> F32Array:
    """Return how far a's values lie outside the range of b's 3 × 3 pixels there, smoothed."""
    around = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(b, around), cv2.dilate(b, around)
    return np.asarray(cv2.blur(np.maximum(np.maximum(low - a, a - high), 0), (3, 3)), np.float32)


def _judged(
    members: I64Array, flat: F32Array, fine: _FineLooks, usual_rms: float
) -> list[I64Array]:
    """Return the groups of more than one picture among `members`."""
    found = []
    for group in _joined(members, flat, fine, usual_rms):
        is_large = len(group) > max(LARGE, LARGE_SHARE * len(members))
        if is_large and len(group) < len(members):
            found += _judged(group, flat, fine, usual_rms)
        else:
            found.append(group)
    return found


def _joined(
    members: I64Array, flat: F32Array, fine: _FineLooks, usual_rms: float
) -> list[I64Array]:
    root = {int(m): int(m) for m in members}

    def root_of(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for one, other in _candidates(members, flat, usual_rms):
        a, b = root_of(one), root_of(other)
        if a != b and fine.are_alike(one, other):
            root[max(a, b)] = min(a, b)
    groups: dict[int, list[int]] = {}
    for index in root:
        groups.setdefault(root_of(index), []).append(index)
    return [np.array(sorted(group)) for group in groups.values() if len(group) > 1]


def _candidates(members: I64Array, flat: F32Array, usual_rms: float) -> list[tuple[int, int]]:
    """Return the pairs that are near enough by their thumbnails, nearest first."""
    if len(members) < 2:
        return []
    own = flat[members]
    near, of_set = _nearest(own)
    usual = np.maximum(of_set, usual_rms)
    pairs: dict[tuple[int, int], float] = {}
    for row in range(len(members)):
        for column in near[row]:
            # Once more without the cancellation of the fast form, which is off by some 0.05.
            rms = float(np.sqrt(np.mean((own[row] - own[column]) ** 2)))
            limit = max(EQUAL, min(NOISE, RATIO * float(min(usual[row], usual[column]))))
            if rms <= limit:
                one, other = sorted((int(members[row]), int(members[column])))
                pairs[one, other] = rms
    return sorted(pairs, key=lambda pair: (pairs[pair], pair))


def _nearest(own: F32Array) -> tuple[list[I64Array], F32Array]:
    """Return each row's nearest others within NOISE, and its median difference to all others."""
    squares = np.mean(own * own, axis=1)
    near: list[I64Array] = []
    usual = np.empty(len(own), np.float32)
    for start in range(0, len(own), _BLOCK):
        block = own[start : start + _BLOCK]
        dots = block @ own.T / own.shape[1]
        rms = np.sqrt(np.maximum(squares[start : start + _BLOCK, None] + squares - 2 * dots, 0))
        rms[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        usual[start : start + _BLOCK] = np.partition(rms, (len(own) - 1) // 2, axis=1)[
            :, (len(own) - 1) // 2
        ]
        count = min(NEIGHBOURS, len(own) - 1)
        nearest = np.argpartition(rms, count - 1, axis=1)[:, :count]
        near += [row[rms[i, row] <= NOISE + 0.1] for i, row in enumerate(nearest)]
    return near, usual
