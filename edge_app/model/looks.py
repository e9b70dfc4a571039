"""What a model sees in a picture, before any verdict: for golden sets and calibration."""

from __future__ import annotations

from dataclasses import dataclass

from edge_app.inspection.tracker import OnePartPerFrame
from edge_app.model.loaded_model import LoadedModel
from edge_app.records import Anomaly, BoxCxcywhr, Frame, U8Array


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One product in a picture as the model sees it, before any verdict.

    Attributes:
        box_cxcywhr: with the product's direction, in frame pixels.
        crop: uint8 (crop_h, crop_w, 3), upright.
        anomaly: score and map.
    """

    box_cxcywhr: BoxCxcywhr
    crop: U8Array
    anomaly: Anomaly


def look_at(model: LoadedModel, pixels_hwc: U8Array) -> list[Look]:
    """Return every whole product in a picture with its score; what calibration counts.

    A product cut off by the border is left out, as on the line.
    """
    products = whole_products(model, pixels_hwc)
    anomalies = model.stages.score([crop for _, crop in products])
    return [Look(*found, anomaly) for found, anomaly in zip(products, anomalies, strict=True)]


def whole_products(model: LoadedModel, pixels_hwc: U8Array) -> list[tuple[BoxCxcywhr, U8Array]]:
    """Return the pose and the upright crop of every product that is wholly in the picture."""
    stages, tracker = model.stages, OnePartPerFrame("offline", model.fills_frame)
    frame = Frame("offline", 1, pixels_hwc, 0)
    views = tracker.follow(frame, stages.find(pixels_hwc)).views
    cut = [stages.cut_view(pixels_hwc, view, tracker.border_margin_px) for view in views]
    return [(c.box_cxcywhr, c.crop) for c in cut if c is not None and c.is_whole]
