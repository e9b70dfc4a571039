"""Which pictures show a new part, by a bundle's own detector and tracker."""

from __future__ import annotations

from edge_app.cameras.protocol import CameraInfo
from edge_app.model.loaded_model import LoadedModel, make_tracker
from edge_app.records import Frame


class NewWholeParts:
    """Keeps a picture if it shows a whole part that no kept picture has shown. See `Choice`.

    Args:
        model: of the bundle; its detector finds the products.
        info: says whether one picture is one part, or parts are tracked along a belt.
    """

    def __init__(self, model: LoadedModel, info: CameraInfo) -> None:
        self._finder = model.finder
        self._tracker = make_tracker(info, "record", model.fills_frame)
        self._known: set[str] = set()

    def why_not(self, frame: Frame) -> str:
        sighting = self._tracker.follow(frame, self._finder.find(frame.pixels_hwc))
        if not sighting.views:
            return "no product found"
        whole = {view.part_id for view in sighting.views if view.is_whole}
        if not whole:
            return "no product wholly in the picture"
        if whole <= self._known:
            return "no new product"
        self._known |= whole
        return ""
