"""Which pictures show a new part, by a bundle's own detector and tracker."""

from __future__ import annotations

from edge_app.cameras.protocol import CameraInfo
from edge_app.model.loaded_model import LoadedModel, make_tracker
from edge_app.records import Frame, PartView


class NewWholeParts:
    """Keeps a picture if it shows a whole part that no kept picture has shown. See `Choice`.

    Args:
        model: of the bundle; its detector finds the products.
        info: says whether one picture is one part, or parts are tracked along a belt.
    """

    def __init__(self, model: LoadedModel, info: CameraInfo) -> None:
        self._stages = model.stages
        self._tracker = make_tracker(info, "record", model.fills_frame)
        self._known: set[str] = set()

    def why_not(self, frame: Frame) -> str:
        sighting = self._tracker.follow(frame, self._stages.find(frame.pixels_hwc))
        if not sighting.views:
            return "no product found"
        whole = {view.part_id for view in sighting.views if self._is_whole(frame, view)}
        if not whole:
            return "no product wholly in the picture"
        if whole <= self._known:
            return "no new product"
        self._known |= whole
        return ""

    def _is_whole(self, frame: Frame, view: PartView) -> bool:
        if view.is_whole or self._stages.outline is None:
            return view.is_whole
        margin_px = self._tracker.border_margin_px
        cut = self._stages.cut_view(frame.pixels_hwc, view, margin_px)
        return cut is not None and cut.is_whole
