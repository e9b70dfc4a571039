"""The settings of a simulated line, checked once at construction."""

from __future__ import annotations

from dataclasses import dataclass

from edge_app.errors import ConfigError, nearest_of
from edge_app.simulator.truth import KINDS, PRODUCTS, RESERVED_KIND, SEEDS, Product

MIN_FRAME_HW = (520, 640)
MAX_FRAME_HW = (1280, 1600)
"""Limits: a part must fit between the rails at any angle; the noise bank has this size."""


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """A line's settings.

    Attributes:
        product: which of PRODUCTS is on the belt.
        seed: of everything random; see SEEDS for the roles.
        defect_rate: share of defective parts, 0..1.
        parts: number of parts; None for no limit.
        frame_hw: picture size (height, width) in pixels.
        kinds: defect classes to use; None means all KINDS, and the reserved one in the test stream.
        advance_px: how far the belt moves between two free-run frames.
        pitch_px: mean distance of neighbouring parts along the belt.
        jitter_px: maximum deviation of a part from that spacing.
        spot_rate: share of parts with white spots, which are no defect (spots.py), 0..1.

    Raises:
        ConfigError: a value is unknown or out of range.
    """

    product: Product = "tapered"
    seed: int = SEEDS["test"]
    defect_rate: float = 0.1
    parts: int | None = None
    frame_hw: tuple[int, int] = (768, 1024)
    kinds: tuple[str, ...] | None = None
    advance_px: int = 240
    pitch_px: int = 480
    jitter_px: int = 36
    spot_rate: float = 0.0

    def __post_init__(self) -> None:
        as_product(self.product)
        _check_range("seed", self.seed, 0, 2**63)
        _check_range("defect_rate", self.defect_rate, 0, 1)
        _check_range("spots", self.spot_rate, 0, 1)
        _check_range("parts", 1 if self.parts is None else self.parts, 1, 10**9)
        _check_range("advance_px", self.advance_px, 1, 600)
        _check_range("jitter_px", self.jitter_px, 0, 200)
        _check_range("pitch_px", self.pitch_px, 400 + 2 * self.jitter_px, 10_000)
        for name, value, low, high in zip(
            ("height", "width"), self.frame_hw, MIN_FRAME_HW, MAX_FRAME_HW, strict=True
        ):
            _check_range(f"frame {name}", value, low, high)
        self._check_kinds()

    @property
    def allowed_kinds(self) -> tuple[str, ...]:
        """Return the defect classes this line draws from."""
        if self.kinds is not None:
            return self.kinds
        return (*KINDS, RESERVED_KIND) if self.seed == SEEDS["test"] else KINDS

    def _check_kinds(self) -> None:
        if self.kinds == ():
            raise ConfigError("simulator: kinds is empty; set defect_rate=0 for good parts only")
        for kind in self.kinds or ():
            if kind not in (*KINDS, RESERVED_KIND):
                raise _unknown("defect kind", kind, (*KINDS, RESERVED_KIND))
        tuning = {seed: role for role, seed in SEEDS.items() if role != "test"}
        if RESERVED_KIND in (self.kinds or ()) and self.seed in tuning:
            raise ConfigError(
                f"simulator: {RESERVED_KIND} is reserved for the test stream, but seed {self.seed} "
                f"is the {tuning[self.seed]} stream; leave it out of kinds or use seed "
                f"{SEEDS['test']}"
            )


def as_product(name: str) -> Product:
    """Return the name as a product.

    Raises:
        ConfigError: there is no such product; the nearest one is named.
    """
    for product in PRODUCTS:
        if product == name:
            return product
    raise _unknown("product", name, PRODUCTS)


def _unknown(what: str, value: str, known: tuple[str, ...]) -> ConfigError:
    hint = nearest_of(value, known)
    return ConfigError(f"simulator: unknown {what} {value!r}{hint}. Known: {', '.join(known)}.")


def _check_range(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"simulator: {what} must be {low:g} to {high:g}, got {value:g}")
