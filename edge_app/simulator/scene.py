"""The simulated line: parts on a moving belt under a camera, every pixel decided by a seed.

Random access throughout: part `n` and frame `f` depend on the seed and on `n` or `f` alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, lru_cache

import cv2
import numpy as np

from edge_app.imaging.oriented_box import corners_of, wrap_turn
from edge_app.records import PointXy, U8Array
from edge_app.simulator.belt import Belt
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.defects import Mark, Redraw
from edge_app.simulator.optics import Optics, brightness_at
from edge_app.simulator.part import MAX_HALF_PX, Part, PartShop
from edge_app.simulator.truth import DefectTruth, FrameTruth, PartTruth

_BELT_STREAM, _FRAME_STREAM, _SINGLE_STREAM, _LAYOUT_STREAM = 901, 902, 903, 904
"""Third word of the entropy: keeps these generators distinct from those of parts (two words)."""


class SimulatedLine:
    """One camera over one belt that carries one product.

    Attributes:
        config: as given.
        redraw_log: every rejected defect draw so far, of the parts rendered so far.
    """

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self._shop = PartShop(config)

    @cached_property
    def _belt(self) -> Belt:
        # made with the first picture: a camera that is only described costs nothing
        return _belt_of(self.config.seed, self.config.frame_hw)

    @cached_property
    def _optics(self) -> Optics:
        return Optics(self.config.frame_hw)

    @property
    def redraw_log(self) -> tuple[Redraw, ...]:
        return tuple(self._shop.redraw_log)

    @property
    def redraws(self) -> dict[str, int]:
        """Return how many defect draws were rejected, by class."""
        return dict(Counter(redraw.kind for redraw in self._shop.redraw_log))

    @property
    def frame_count(self) -> int | None:
        """Return how many free-run frames there are until the belt is empty; None: endless."""
        if self.config.parts is None:
            return None
        last_px = self.config.pitch_px * (self.config.parts - 1) + self.config.jitter_px
        way_px = self.config.frame_hw[1] + last_px + 2 * MAX_HALF_PX
        return math.ceil(way_px / self.config.advance_px) + 1

    def frames(self) -> Iterator[tuple[U8Array, FrameTruth]]:
        """Yield (uint8 (h, w, 3) BGR, truth) of the free-running camera until all parts left."""
        frame_id = 0
        while self.frame_count is None or frame_id < self.frame_count:
            yield self.frame(frame_id)
            frame_id += 1

    def frame(self, frame_id: int) -> tuple[U8Array, FrameTruth]:
        """Return one free-run picture (uint8 (h, w, 3) BGR) and its truth; random access."""
        position_px = frame_id * self.config.advance_px
        placed = [(part, self._place(part, position_px)) for part in self._near(position_px)]
        rng = self._rng(frame_id + 1, _FRAME_STREAM)
        return self._picture(frame_id, placed, position_px, rng)

    def single(self, number: int) -> tuple[U8Array, FrameTruth]:
        """Return one triggered picture with exactly part `number` in it, whole; random access."""
        rng = self._rng(number, _SINGLE_STREAM)
        part = self._shop.part(number)
        reach = part.reach_px + 6
        x = float(rng.uniform(reach, self.config.frame_hw[1] - 1 - reach))
        position_px = int(rng.integers(0, 2**20))
        return self._picture(number, [(part, (x, part.lateral_px))], position_px, rng)

    def _picture(
        self,
        frame_id: int,
        placed: list[tuple[Part, PointXy]],
        position_px: int,
        rng: np.random.Generator,
    ) -> tuple[U8Array, FrameTruth]:
        scene = self._belt.view(position_px)
        for part, at_xy in placed:
            _lay(scene, part, at_xy)
        brightness = brightness_at(frame_id, float(self.config.seed))
        truths = tuple(self._truth(part, at_xy) for part, at_xy in placed)
        visible = tuple(truth for truth in truths if truth is not None)
        return self._optics.expose(scene, rng, brightness), FrameTruth(frame_id, visible)

    def _near(self, position_px: int) -> list[Part]:
        """Return the parts that can show in the frame, in the order of their numbers."""
        pitch, jitter = self.config.pitch_px, self.config.jitter_px
        way_px = self.config.frame_hw[1] + 2 * MAX_HALF_PX
        first = math.ceil((position_px - way_px - jitter) / pitch) + 1
        last = math.floor((position_px + jitter) / pitch) + 1
        end = last if self.config.parts is None else min(last, self.config.parts)
        return [self._shop.part(n) for n in range(max(1, first), end + 1)]

    def _place(self, part: Part, position_px: int) -> PointXy:
        jitter = self._rng(part.number, _LAYOUT_STREAM).uniform(-1, 1) * self.config.jitter_px
        along = position_px - MAX_HALF_PX - self.config.pitch_px * (part.number - 1) + jitter
        return float(along), part.lateral_px

    def _truth(self, part: Part, at_xy: PointXy) -> PartTruth | None:
        """Return a part's truth, or None when no pixel of its box is in the frame."""
        h, w = self.config.frame_hw
        box = part.box_at(at_xy)
        xs, ys = zip(*corners_of(box), strict=True)
        if max(xs) < 0 or min(xs) > w - 1:
            return None
        is_whole = min(xs) >= 0 and max(xs) <= w - 1 and min(ys) >= 0 and max(ys) <= h - 1
        defect = None if part.mark is None else _defect_truth(part, part.mark, at_xy)
        pose = wrap_turn(part.angle_rad)
        return PartTruth(part.number, self.config.product, box, is_whole, defect, pose)

    def _rng(self, number: int, stream: int) -> np.random.Generator:
        return _generator(self.config.seed, number, stream)


def _generator(seed: int, number: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number, stream])))


@lru_cache(maxsize=2)
def _belt_of(seed: int, frame_hw: tuple[int, int]) -> Belt:
    """Return a seed's belt; all lines of that seed share it."""
    return Belt(_generator(seed, 1, _BELT_STREAM), frame_hw)


def good_line(config: SimulatorConfig) -> SimulatedLine:
    """Return the same line with the same parts, none of them defective."""
    return SimulatedLine(replace(config, defect_rate=0.0))


def _lay(scene: U8Array, part: Part, at_xy: PointXy) -> None:
    """Draw a part with its shadow into a scene in place."""
    to_scene = part.to_frame(at_xy)
    h, w = part.sprite.shape[:2]
    corners = np.array([[0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1]]) @ to_scene.T
    x0, y0 = np.floor(corners.min(axis=0)).astype(int).clip(0)
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, scene.shape[1::-1])
    if x0 >= x1 or y0 >= y1:
        return
    to_scene[:, 2] -= (x0, y0)
    size_wh = (int(x1 - x0), int(y1 - y0))
    nothing = (0, 0, 0, 255)  # sends no light, lets all of the belt's by
    turned = cv2.warpAffine(part.sprite, to_scene, size_wh, flags=cv2.INTER_LINEAR,
                            borderValue=nothing)  # fmt: skip
    passed = cv2.cvtColor(turned[..., 3], cv2.COLOR_GRAY2BGR)
    region = scene[y0:y1, x0:x1]
    below = cv2.multiply(region, passed, scale=1 / 255)
    region[:] = cv2.add(below, turned[..., :3])


def _defect_truth(part: Part, mark: Mark, at_xy: PointXy) -> DefectTruth:
    points = part.in_frame(mark.polygon_xy, at_xy)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return DefectTruth(
        kind=mark.kind,
        polygon_xy=tuple((float(x), float(y)) for x, y in points),
        box_xyxy=(float(x0), float(y0), float(x1), float(y1)),
        area_px=mark.area_px,
        area_fraction=mark.area_fraction,
        contrast=mark.contrast,
    )
