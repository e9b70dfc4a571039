"""One part: its appearance, pose and defect; and the factory that makes parts by number."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from edge_app.imaging.oriented_box import wrap_turn
from edge_app.records import BoxCxcywhr, F64Array, PointXy, U8Array
from edge_app.simulator.belt import RAIL_PX
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.defects import Mark, Redraw, plant
from edge_app.simulator.look import Look, light, sprite_of
from edge_app.simulator.products import draw_form
from edge_app.simulator.spots import with_spots

MAX_HALF_PX = 200.0
"""No part of any product reaches further from its middle."""

_RAIL_GAP_PX = 8.0
_KEPT_PARTS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One part as it lies on the belt, wherever along the belt that is.

    Attributes:
        number: from 1.
        sprite: uint8 (h, w, 4), see `look.sprite_of`.
        angle_rad: its direction, (−π, π].
        lateral_px: y of its middle in the frame.
        reach_px: half of its extent along the belt.
        box_xywh: tight box from the sprite's middle.
        has_axis: its box turns with it; a disc's does not.
        mark: its defect, or None.
    """

    number: int
    sprite: U8Array
    angle_rad: float
    lateral_px: float
    reach_px: float
    box_xywh: tuple[float, float, float, float]
    has_axis: bool
    mark: Mark | None

    def to_frame(self, at_xy: PointXy) -> F64Array:
        """Return the (2, 3) map from sprite pixels to frame pixels for a middle at `at_xy`."""
        h, w = self.sprite.shape[:2]
        turn = _rotation(self.angle_rad)
        shift = np.array(at_xy) - turn @ np.array([(w - 1) / 2, (h - 1) / 2])
        return np.column_stack([turn, shift])

    def in_frame(self, points_xy: F64Array, at_xy: PointXy) -> F64Array:
        """Return (n, 2) points given from the sprite's middle in frame pixels."""
        return np.asarray(points_xy @ _rotation(self.angle_rad).T + np.array(at_xy))

    def box_at(self, at_xy: PointXy) -> BoxCxcywhr:
        """Return the tight oriented box in frame pixels."""
        x, y, w, h = self.box_xywh
        cx, cy = self.in_frame(np.array([[x, y]]), at_xy)[0]
        return float(cx), float(cy), w, h, self.angle_rad if self.has_axis else 0.0


class PartShop:
    """Makes parts by number; the last few are kept because neighbouring frames share them.

    Attributes:
        redraw_log: every rejected defect draw, once per part even if the part is made again.
    """

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._kept: OrderedDict[int, Part] = OrderedDict()
        self._logged: set[int] = set()
        self.redraw_log: list[Redraw] = []

    def part(self, number: int) -> Part:
        """Return part `number`, always the same one."""
        if number not in self._kept:
            self._kept[number] = self._made(number)
            if len(self._kept) > _KEPT_PARTS:
                self._kept.popitem(last=False)
        return self._kept[number]

    def _made(self, number: int) -> Part:
        pose, surface, lamp, fault = _streams(self._config.seed, number)
        angle = wrap_turn(float(pose.uniform(-np.pi, np.pi)))
        form = draw_form(self._config.product, surface)
        lit = light(form, lamp, angle)
        lit = with_spots(lit, self._config.seed, number, self._config.spot_rate)
        look, mark = self._with_fault(lit, fault, number)
        has_axis = self._config.product != "round"
        reach_x, reach_y = _reach(form.box_xywh, angle if has_axis else 0.0)
        room = RAIL_PX + _RAIL_GAP_PX + reach_y
        lateral = float(pose.uniform(room, self._config.frame_hw[0] - 1 - room))
        sprite = sprite_of(look)
        return Part(number, sprite, angle, lateral, reach_x, form.box_xywh, has_axis, mark)

    def _with_fault(
        self, look: Look, rng: np.random.Generator, number: int
    ) -> tuple[Look, Mark | None]:
        if rng.random() >= self._config.defect_rate:
            return look, None
        kinds = self._config.allowed_kinds
        kind = kinds[int(rng.integers(len(kinds)))]
        look, mark, refused = plant(look, rng, kind, number)
        if number not in self._logged:
            self._logged.add(number)
            self.redraw_log.extend(refused)
        return look, mark


def _streams(seed: int, number: int) -> list[np.random.Generator]:
    """Return independent generators for pose, surface, lamp and fault of one part."""
    children = np.random.SeedSequence([seed, number]).spawn(4)
    return [np.random.Generator(np.random.PCG64(child)) for child in children]


def _rotation(angle_rad: float) -> F64Array:
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[cos, -sin], [sin, cos]])


def _reach(box_xywh: tuple[float, float, float, float], angle_rad: float) -> tuple[float, float]:
    """Return half the extents along x and y of a turned box round the part's middle."""
    _, _, w, h = box_xywh
    cos, sin = abs(np.cos(angle_rad)), abs(np.sin(angle_rad))
    return float(w * cos + h * sin) / 2, float(w * sin + h * cos) / 2
