"""What `benchmarks.growth` varies: pictures and models in which one thing grows, the rest as in the
demo.

parts     so many upright parts, cut out of pictures of the simulated belt, laid on its empty belt;
          the shipped detector, which has learnt one or two in a picture, loses some from eight on,
          so that all its work is done and the boxes are then given, as far off as a detector's are
cameras   so many lines of one model, whose pictures come one after the other, as the inspection
          thread takes them
picture   the simulated picture enlarged: the same scene on a camera with more pixels; the bundle's
          known part size, which is in picture pixels, grows with it
crop      square crops: cue, template and inspector are made anew at that size by what a build uses,
          the inspector with the demo's own term
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.end_to_end import BUNDLE, sim_frames
from edge_app.backends.onnx import OnnxRunner
from edge_app.backends.protocol import GraphRunner
from edge_app.bundle.archive import read_bundle
from edge_app.cameras.registry import open_camera
from edge_app.errors import DataError
from edge_app.imaging.oriented_box import as_box
from edge_app.imaging.upright_crop import CropSpec, upright_crop
from edge_app.inspection.inspector import Inspector
from edge_app.inspection.line import InspectionLine
from edge_app.inspection.orientation import (
    candidate_views,
    cue_from_template,
    template_from_means,
)
from edge_app.inspection.pose import PoseFinder
from edge_app.inspection.stages import ProductFinder
from edge_app.model.loaded_model import LoadedModel, load_model, make_line, make_tracker
from edge_app.model.looks import whole_products
from edge_app.records import BoxCxcywhr, Detection, Frame, U8Array

PARTS = (1, 2, 4, 8, 12)
CAMERAS = (1, 2, 4, 8)
PICTURES_WH = ((640, 480), (1024, 768), (1600, 1200), (2592, 1944), (3840, 2880), (5184, 3888))
CROP_SIDES = (128, 256, 384, 512)
SHIPPED, REBUILT = 0, 1
"""Instead of a side: the bundle's own crops and inspector; its own crops with all made anew, which
shows whether what is made anew costs what the bundle's does."""

PICTURES = 4
"""Different ones of each kind."""

EVERY_VIEW = 10**9
"""Views of a part that are judged: each part in every picture, as if each were new."""

TILE_HW = (122, 420)
"""A part with a little belt round it: twelve of them fill the demo's picture, two by six."""

EDGE_PX = 6
"""Above and below the tiles: nearer to the border a part counts as cut."""

BOX_ERROR = (3.0, 3.0, 2.0, 2.0, 0.015)
"""How far given boxes are off at most: px of centre and sides, radians."""

SOURCE = "seed=42&defect_rate=0"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Pictures to judge and the model that judges them.

    Attributes:
        value: of what grows: parts, cameras, megapixels or pixels of a side.
        parts: in each picture; all are judged.
        cameras: so many lines of the one model.
    """

    sweep: str
    value: float
    model: LoadedModel
    pictures: Sequence[U8Array]
    parts: int
    cameras: int = 1

    @property
    def runners(self) -> tuple[GraphRunner, ...]:
        """Return the graphs that it runs."""
        finder = self.model.finder
        own = finder.inner if isinstance(finder, KnownParts) else finder
        return own._runner, self.model.inspector._runner  # type: ignore[attr-defined]

    def of_camera(self, turn: int, camera: int) -> U8Array:
        """Return the picture that a camera shows now; the next camera shows the next one."""
        return self.pictures[(turn + camera) % len(self.pictures)]

    def new_lines(self) -> list[InspectionLine]:
        """Return every camera's line; it judges every part in every picture."""
        return [self.new_line() for _ in range(self.cameras)]

    def new_line(self) -> InspectionLine:
        """Return a line that judges every part in every picture."""
        info = open_camera("sim:tapered?mode=file", "bench").describe()
        model = replace(self.model, max_views=EVERY_VIEW)
        return make_line(model, "bench", make_tracker(info, "bench", False), lambda: "alarm")


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What the cases are made of.

    Attributes:
        model: the shipped bundle's.
        whole: pictures of the belt with exactly one whole part, and that part's box.
        belt: the belt without parts, uint8 (h, w, 3).
    """

    model: LoadedModel
    whole: Sequence[tuple[U8Array, BoxCxcywhr]]
    belt: U8Array


@cache
def demo_scene() -> Scene:
    """Return the simulated belt as the shipped bundle sees it."""
    model = load_model(read_bundle(BUNDLE), 1)
    frames = [f.pixels_hwc for f in sim_frames(24, options=SOURCE)]
    found = [(pixels, whole_products(model, pixels)) for pixels in frames]
    whole = [(pixels, parts[0][0]) for pixels, parts in found if len(parts) == 1]
    belt = np.median(np.stack(frames[::2]), axis=0).astype(np.uint8)
    return Scene(model, whole, belt)


def case_of(sweep: str, value: float, work: Path) -> Case:
    """Return a case by its name.

    Args:
        value: as in `Case`; of crops also SHIPPED and REBUILT.
        work: inspectors that were made stay there.
    """
    scene = demo_scene()
    if sweep == "parts":
        return parts_case(scene, int(value))
    if sweep == "picture":
        return picture_case(scene, value)
    if sweep == "cameras":
        pictures = [pixels for pixels, _ in scene.whole[:PICTURES]]
        return Case(sweep, value, scene.model, pictures, 1, int(value))
    return crop_case(scene, int(value), work)


class KnownParts:
    """The detector does all its work, and the boxes are those that are known. A ProductFinder."""

    def __init__(self, finder: ProductFinder) -> None:
        self.inner = finder
        self.boxes: dict[int, list[Detection]] = {}

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        """Return the picture's known boxes."""
        self.inner.find(pixels_hwc)
        return self.boxes[id(pixels_hwc)]


def parts_case(scene: Scene, count: int) -> Case:
    """Return pictures with so many parts."""
    supply = itertools.cycle((_tile(p, box), box) for p, box in scene.whole)
    finder = KnownParts(scene.model.finder)
    rng = np.random.default_rng(count)
    pictures = []
    for _ in range(PICTURES):
        tiles = [next(supply) for _ in range(count)]
        picture, middles_xy = laid_out(scene.belt, [tile for tile, _ in tiles])
        boxes = [(*xy, *box[2:4], 0.0) for xy, (_, box) in zip(middles_xy, tiles, strict=True)]
        found = np.array(boxes) + rng.uniform(-1, 1, (count, 5)) * BOX_ERROR
        finder.boxes[id(picture)] = [Detection(as_box(box), 0.9) for box in found]
        pictures.append(picture)
    return Case("parts", count, replace(scene.model, finder=finder), pictures, count)


def _tile(pixels_hwc: U8Array, box: BoxCxcywhr) -> U8Array:
    """Return a part with a little belt, upright, at the picture's own scale."""
    around = min(TILE_HW[1] / box[2], TILE_HW[0] / box[3])
    return upright_crop(pixels_hwc, box, CropSpec(TILE_HW, (around - 1) / 2))


def laid_out(belt: U8Array, tiles: Sequence[U8Array]) -> tuple[U8Array, list[tuple[float, float]]]:
    """Return the belt with tiles in two columns, evenly spread, and their middles (x, y).

    Raises:
        DataError: there are more than the picture has room for.
    """
    picture = belt.copy()
    rows = -(-len(tiles) // 2)
    h, w = TILE_HW
    pitch = (belt.shape[0] - 2 * EDGE_PX) / rows
    if pitch < h or 2 * w > belt.shape[1]:
        raise DataError(f"{len(tiles)} parts have no room in a picture of {belt.shape[:2]}.")
    middles = []
    for number, tile in enumerate(tiles):
        row, column = divmod(number, 2)
        is_alone = number == len(tiles) - 1 and column == 0
        y = round(EDGE_PX + pitch * (row + 0.5) - h / 2)
        x = round(belt.shape[1] * (0.5 if is_alone else 0.25 + 0.5 * column) - w / 2)
        picture[y : y + h, x : x + w] = tile
        middles.append((x + (w - 1) / 2, y + (h - 1) / 2))
    return picture, middles


def picture_case(scene: Scene, megapixels: float) -> Case:
    """Return the scene on a camera with so many pixels, with one whole part in each picture."""
    (wh,) = (wh for wh in PICTURES_WH if round(wh[0] * wh[1] / 1e6, 2) == round(megapixels, 2))
    scale = wh[0] / scene.belt.shape[1]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pictures = [
        np.asarray(cv2.resize(pixels, wh, interpolation=way), np.uint8)
        for pixels, _ in scene.whole[:PICTURES]
    ]
    return Case("picture", megapixels, enlarged(scene.model, scale), pictures, 1)


def enlarged(model: LoadedModel, scale: float) -> LoadedModel:
    """Return the model for a camera whose pixels are so many times as fine."""
    aligner = model.pose.aligner
    if aligner is None or aligner.size_px is None:
        return model
    w, h = aligner.size_px
    pose = replace(model.pose, aligner=replace(aligner, size_px=(w * scale, h * scale)))
    return replace(model, pose=pose)


def crop_case(scene: Scene, side: int, work: Path) -> Case:
    """Return the demo's pictures with square crops of this side."""
    pictures = [pixels for pixels, _ in scene.whole[:PICTURES]]
    if side == SHIPPED:
        return Case("crop", side, scene.model, pictures, 1)
    graph = work / f"inspector-{side}.onnx"
    own = scene.model.spec
    spec = own if side == REBUILT else CropSpec((side, side), own.margin)
    if not graph.is_file():
        write_inspector(scene, spec, graph)
    runner = OnnxRunner(graph.read_bytes(), 1)
    model = replace(
        scene.model,
        inspector=Inspector(runner, spec.crop_hw),
        pose=pose_at(scene, spec),
        spec=spec,
        plausibility=None,  # its figures are of golden crops in the demo's size
    )
    return Case("crop", side, model, pictures, 1)


def write_inspector(scene: Scene, spec: CropSpec, out: Path) -> None:
    """Write an inspector with the demo's term, fitted to the belt's parts in these crops."""
    from export.methods.ensemble.choice import Scale
    from export.methods.ensemble.graph import EnsembleGraph
    from export.methods.ensemble.method import extractor_for, features_of
    from export.methods.ensemble.terms import fit_detail
    from export.methods.onnx_file import write_graph
    from export.methods.protocol import Trained

    crops = np.stack([upright_crop(pixels, box, spec) for pixels, box in scene.whole])
    extractor = extractor_for(crops, None, "cpu")
    features = features_of(extractor, crops, "cpu", "features", lambda _text, _share: None)
    term = fit_detail(features, None, 0).eval()
    graph = EnsembleGraph(extractor, ("detail",), [term], [Scale(0.0, 1.0)], [1.0], spec.crop_hw)
    about = {"method": "ensemble", "settings": {"terms": ["detail"]}}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_graph(Trained(graph.eval(), about), spec.crop_hw, out)


def pose_at(scene: Scene, spec: CropSpec) -> PoseFinder:
    """Return cue and registration learnt anew for these crops, from parts whose pose is known."""
    from export.pose.alignment import learn_alignment

    kind = scene.model.pose.cue.kind if scene.model.pose.cue else "fixed"
    readers = [partial(np.asarray, pixels) for pixels, _ in scene.whole]
    boxes = [box for _, box in scene.whole]
    views = [candidate_views(pixels, box, kind, spec) for pixels, box in scene.whole]
    cue = cue_from_template(template_from_means(np.mean(views, axis=0)), kind, spec)
    return PoseFinder(cue, learn_alignment(readers, boxes, spec, False, lambda _text, _share: None))


def frame_of(pixels: U8Array, number: int) -> Frame:
    """Return a picture as a camera gives it, a fifth of a second after the one before."""
    return Frame("bench", number, pixels, number * 200_000_000, source_number=number)
