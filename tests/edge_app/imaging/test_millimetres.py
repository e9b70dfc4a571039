"""A calibrated camera in the whole app: defects in millimetres arrive at the broker."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.app_config import ROOT, edge_app, write_config
from support.brokers import Listener, Mosquitto
from support.small_bundles import write_pictures

from edge_app.imaging.camera_calibration import Geometry, Lens, save_geometry

STRAIGHT = Lens(np.array([[200.0, 0, 64], [0, 200, 32], [0, 0, 1]]), np.zeros(5))


@pytest.mark.parametrize(
    "lens",
    [None, pytest.param(STRAIGHT, marks=pytest.mark.slow)],
    ids=["plane alone", "with a lens"],
)
def test_defects_arrive_in_millimetres(
    lens: Lens | None, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """A spot of 32 x 16 px at half a millimetre a pixel; a picture of another size is refused."""
    folder = write_pictures(tmp_path / "in", 2, {2})
    cv2.imwrite(str(folder / "0003.png"), np.full((50, 50, 3), 100, np.uint8))
    save_geometry(
        Geometry((64, 128), lens, np.diag([0.5, 0.5, 1.0]), {}), tmp_path / "cam1.calibration.json"
    )
    config = write_config(
        tmp_path,
        "folder:in",
        mosquitto.port,
        camera='calibration_file = "cam1.calibration.json"',
    )
    listener = Listener(mosquitto.port, f"{ROOT}/cam/cam1/alert")
    done = edge_app("run", "--config", str(config))
    assert done.returncode == 0, done.stderr
    alerts = [a for a in listener.bodies("/alert") if a["event"] == "new"]
    listener.close()
    bad = next(a for a in alerts if a["verdict"] == "NG")
    extent = bad["defects"][0]["extent"]
    x0, y0, x1, y1 = bad["defects"][0]["box_xyxy"]
    assert extent["size_mm"] == pytest.approx([(x1 - x0) / 2, (y1 - y0) / 2], abs=0.05)
    assert extent["size_mm"] == pytest.approx([16, 8], abs=2)
    assert extent["centre_mm"] == pytest.approx([(x0 + x1) / 4, (y0 + y1) / 4], abs=0.05)
    refused = [a for a in alerts if a["reason"] == "corrupt_picture"]
    assert len(refused) == (0 if lens is None else 1)
