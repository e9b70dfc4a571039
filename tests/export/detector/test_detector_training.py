"""Training and exporting the detector: it learns, stops and resumes, and decodes as Ultralytics."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.needs import require

require("the extra train")

import torch

from edge_app.backends.onnx import OnnxRunner
from edge_app.errors import DataError
from edge_app.imaging.oriented_box import as_box, axis_difference_rad, corners_of, long_side_first
from edge_app.inspection.detector import Detector
from edge_app.records import BoxCxcywhr, F64Array
from export.data.label_files import write_label_files
from export.data.picture import Picture
from export.data.yolo_dataset import LabelledPicture
from export.detector.export import LICENCE_NOTE, export_detector
from export.detector.metrics import evaluate_detector
from export.detector.network import load_weights
from export.detector.train import TrainProgress, scene_of, train_detector
from export.labels.given.read import labelled_folder

pytestmark = pytest.mark.needs("the extra train")

INPUT_HW = (64, 96)


def scene(seed: int, hw: tuple[int, int] = INPUT_HW) -> LabelledPicture:
    """Return a noisy picture with one bright bar in it."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(90, 6, (*hw, 3)), 0, 255).astype(np.uint8)
    cx, cy = rng.uniform(24, hw[1] - 24), rng.uniform(24, hw[0] - 24)
    box: BoxCxcywhr = (cx, cy, 40.0, 14.0, rng.uniform(-math.pi / 2, math.pi / 2))
    corners = np.rint(np.array(corners_of(box)) * 16).astype(np.int32)
    cv2.fillPoly(pixels, [corners], (210, 215, 220), cv2.LINE_AA, 4)
    return LabelledPicture(pixels, np.array([box]))


@pytest.fixture(scope="module")
def scenes() -> list[LabelledPicture]:
    return [scene(seed) for seed in range(32)]


@pytest.fixture(scope="module")
def weights(scenes: list[LabelledPicture], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of 30 steps: it finds nothing yet, but its boxes are no longer random."""
    folder = tmp_path_factory.mktemp("detector")
    return train_detector(scenes[:16], folder, input_hw=INPUT_HW, steps=30, seed=3)


@pytest.fixture(scope="module")
def exported(weights: Path) -> Path:
    path = weights.with_name("detector.onnx")
    export_detector(weights, path, INPUT_HW)
    return path


def ultralytics_boxes(weights: Path, pixels: LabelledPicture) -> F64Array:
    """Return (n, 7) from Ultralytics' own raw export, own decode and own NMS of the weights."""
    from ultralytics.engine.results import OBB, Results
    from ultralytics.models import YOLO

    pickled = weights.with_name("theirs.pt")
    loaded = load_weights(weights)
    names = dict(enumerate(loaded.class_names))
    loaded.network.names = names  # type: ignore[assignment]  # what their exporter asks for
    torch.save({"model": loaded.network, "train_args": {"task": "obb"}}, pickled)
    YOLO(pickled).export(
        format="onnx", imgsz=list(INPUT_HW), opset=17, simplify=True, verbose=False
    )
    theirs = YOLO(pickled.with_suffix(".onnx"), task="obb")
    (result,) = theirs.predict(
        pixels.pixels(), imgsz=list(INPUT_HW), conf=1e-5, iou=0.95, save=False, verbose=False
    )
    assert isinstance(result, Results)
    assert isinstance(result.obb, OBB)
    boxes = torch.as_tensor(result.obb.data)  # cx, cy, w, h, angle, conf, class
    return np.asarray(boxes.cpu().numpy(), np.float64)


@pytest.mark.filterwarnings("ignore")  # Ultralytics' exporter warns about torch's own deprecations
def test_decode_agrees_with_ultralytics(weights: Path, exported: Path) -> None:
    """Same weights, same pixels: their boxes are among ours, to 1 px and 0.5°; the best is ours.

    Their twenty most confident boxes after their own NMS; they count from the picture's edge.
    """
    picture = scene(1001)
    theirs = ultralytics_boxes(weights, picture)[:20]
    image = picture.pixels()
    rows = OnnxRunner(exported, 1).run({"image": image[None]})["boxes"][0].astype(np.float64)
    assert len(theirs) >= 5
    ours = np.array([long_side_first(as_box(row[:5])) for row in rows])  # (k, 5)
    for row in theirs:
        wanted = long_side_first(as_box(row[:5]))
        nearest = int(np.abs(ours[:, :4] - wanted[:4]).sum(axis=1).argmin())
        assert ours[nearest, :4] == pytest.approx(wanted[:4], abs=1.0)
        assert math.degrees(axis_difference_rad(ours[nearest, 4], wanted[4])) < 0.5
        assert rows[nearest, 5] == pytest.approx(row[5], rel=1e-2)
    best = Detector(OnnxRunner(exported, 1), INPUT_HW, 1e-5, 0.3, ("part",)).find(image)[0]
    x, y = theirs[0, :2] - 0.5
    assert best.box_cxcywhr[:2] == pytest.approx((x, y), abs=1.0)
    assert best.confidence == pytest.approx(theirs[0, 5], rel=1e-2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_unseen_scenes_are_found(tmp_path: Path) -> None:
    """After the default number of steps it finds unseen bars: mAP50 over 0.95, 3° or better."""
    taught = [scene(seed) for seed in range(48)]
    weights = train_detector(taught, tmp_path, input_hw=INPUT_HW)
    export_detector(weights, tmp_path / "detector.onnx")
    runner = OnnxRunner(tmp_path / "detector.onnx", 1)
    find = Detector(runner, INPUT_HW, 0.25, 0.3, ("part",)).find
    metrics = evaluate_detector(find, [scene(seed) for seed in range(2000, 2040)])
    assert metrics.map50 > 0.95
    assert metrics.median_angle_error_deg < 3.0


def test_torch_and_onnx_agree(weights: Path, exported: Path) -> None:
    """The fused, slimmed graph equals the network as trained, to 1e-3 relative."""
    image = scene_of(scene(7), INPUT_HW).pixels_hwc
    boxes = OnnxRunner(exported, 1).run({"image": image[None]})["boxes"][0]
    planes = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        raw = load_weights(weights).network(planes)[0][0].numpy()  # (4 + 1 + 1, anchors)
    order = np.argsort(-raw[4], kind="stable")[: len(boxes)]
    assert boxes[:, 5] == pytest.approx(raw[4][order], rel=1e-3, abs=1e-5)
    assert boxes[0, :5] == pytest.approx(raw[[0, 1, 2, 3, 5], order[0]], rel=1e-3, abs=1e-2)


def test_top_k_is_in_the_graph(weights: Path, tmp_path: Path) -> None:
    """The graph gives the k most confident candidates, or all there are."""
    export_detector(weights, tmp_path / "few.onnx", INPUT_HW, top_k=10)
    export_detector(weights, tmp_path / "all.onnx", INPUT_HW, top_k=10_000)
    anchors = 8 * 12 + 4 * 6 + 2 * 3
    assert OnnxRunner(tmp_path / "few.onnx").describe().outputs[0].shape == (1, 10, 7)
    assert OnnxRunner(tmp_path / "all.onnx").describe().outputs[0].shape == (1, anchors, 7)


def test_the_export_is_reproducible_and_names_the_licence(weights: Path, exported: Path) -> None:
    """The same weights give the same bytes; the metadata says whose licence is claimed."""
    import onnx

    again = exported.with_name("again.onnx")
    export_detector(weights, again)
    assert again.read_bytes() == exported.read_bytes()
    model = onnx.load(exported)
    assert {p.key: p.value for p in model.metadata_props}["licence_note"] == LICENCE_NOTE
    assert model.opset_import[0].version == 17
    assert model.graph.node[0].op_type == "Cast"


@pytest.mark.slow
def test_a_stopped_training_resumes_to_the_same_weights(
    scenes: list[LabelledPicture], tmp_path: Path
) -> None:
    """Stopped after its second round and resumed, it ends where an unbroken one ends."""

    class Stopped(Exception):
        pass

    def stop(progress: TrainProgress) -> None:
        if progress.step == 80:
            raise Stopped

    few = scenes[:4]
    whole = train_detector(few, tmp_path / "whole", input_hw=INPUT_HW, steps=90)
    with pytest.raises(Stopped):
        train_detector(few, tmp_path / "cut", input_hw=INPUT_HW, steps=90, progress=stop)
    resumed = train_detector(few, tmp_path / "cut", input_hw=INPUT_HW, steps=90, resume=True)
    a, b = (load_weights(path).network.state_dict() for path in (whole, resumed))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_state_of_another_job_is_not_resumed(
    scenes: list[LabelledPicture], tmp_path: Path
) -> None:
    """Other pictures in the same folder: a clear refusal, not a silent mixture."""
    train_detector(scenes[:2], tmp_path, input_hw=INPUT_HW, steps=2)
    with pytest.raises(DataError, match="other pictures or settings"):
        train_detector(scenes[2:4], tmp_path, input_hw=INPUT_HW, steps=2, resume=True)


@pytest.mark.slow
def test_training_can_start_from_given_weights(
    weights: Path, scenes: list[LabelledPicture], tmp_path: Path
) -> None:
    """The first epoch from trained weights loses far less than the first from scratch."""
    losses: list[float] = []
    for start in (None, weights):
        train_detector(
            scenes[:4],
            tmp_path / str(start is None),
            input_hw=INPUT_HW,
            steps=4,
            start_from=start,
            progress=lambda p: losses.append(p.loss),
        )
    assert losses[1] < 0.9 * losses[0]


def test_unusable_jobs_are_refused_before_training(
    scenes: list[LabelledPicture], tmp_path: Path
) -> None:
    """No boxes, a size the network cannot take and a nameless class each get their own sentence."""
    empty = LabelledPicture(np.zeros((8, 8, 3), np.uint8), np.zeros((0, 5)))
    with pytest.raises(DataError, match="nothing to learn"):
        train_detector([empty], tmp_path, input_hw=INPUT_HW)
    with pytest.raises(DataError, match="multiples of 32"):
        train_detector(scenes[:1], tmp_path, input_hw=(60, 96))
    second = LabelledPicture(scenes[0].source, scenes[0].boxes_cxcywhr, np.array([1]))
    with pytest.raises(DataError, match="class 1, but only 1 class"):
        train_detector([second], tmp_path, input_hw=INPUT_HW)


def test_a_pickle_is_not_opened_as_weights(tmp_path: Path) -> None:
    """A file with code in it is refused; nothing in it runs."""
    torch.save({"model": scene}, tmp_path / "code.pt")
    with pytest.raises(DataError, match="cannot be read as tensors"):
        load_weights(tmp_path / "code.pt")
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(DataError, match="not a cropliq-detector-1"):
        load_weights(tmp_path / "other.pt")


def write_dataset(folder: Path, pictures: list[LabelledPicture]) -> None:
    """Write pictures, and their labels as a build leaves them for a person to correct."""
    (folder / "images").mkdir()
    on_disk, files = [], []
    for number, picture in enumerate(pictures):
        path = folder / "images" / f"{number:05d}.png"
        cv2.imwrite(str(path), picture.pixels())
        on_disk.append(replace(picture, source=path))
        files.append(Picture(path, path.name, "", picture.pixels().shape[:2]))
    write_label_files(folder / "labels", on_disk, files)


def test_labels_survive_the_yolo_folder(scenes: list[LabelledPicture], tmp_path: Path) -> None:
    """Written and read back, boxes agree to a hundredth of a pixel, also in non-square pictures."""
    write_dataset(tmp_path, scenes[:3])
    for before, after in zip(scenes[:3], labelled_folder(tmp_path), strict=True):
        assert np.array_equal(before.pixels(), after.pixels())
        assert np.allclose(before.boxes_cxcywhr, after.boxes_cxcywhr, atol=1e-2)
        assert after.classes().tolist() == [0]


def test_a_malformed_label_line_is_named(scenes: list[LabelledPicture], tmp_path: Path) -> None:
    """File and line number stand in the message."""
    write_dataset(tmp_path, scenes[:1])
    (tmp_path / "labels" / "00000.txt").write_text("0 0.1 0.2\n")
    with pytest.raises(DataError, match=r"00000\.txt, line 1"):
        labelled_folder(tmp_path)


def test_hidden_areas_are_painted_grey() -> None:
    """A part cut by the border is neither product nor background: training does not see it."""
    outline = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], np.float32)
    white = np.full((20, 30, 3), 255, np.uint8)
    picture = LabelledPicture(white, np.zeros((0, 5)), hidden_xy=(outline,))
    assert (picture.pixels()[:10, :10] == 114).all()
    assert (picture.pixels()[10:] == 255).all()
    assert (white == 255).all()
