"""Ultralytics without network calls, without a settings file in the home directory, without talk.

Import Ultralytics through `ultralytics_tasks()` only: its switches are read when it is imported.
Of Ultralytics the network definition, the loss and the label assigner are used; its trainer (and
with it the font, plot, sync and analytics look-ups) is not.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from types import ModuleType

SWITCHES = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "WANDB_MODE": "disabled",
}


def ultralytics_tasks() -> ModuleType:
    """Return `ultralytics.nn.tasks`, imported offline.

    Its settings go to a temporary folder that is removed at exit, unless YOLO_CONFIG_DIR is set.
    """
    os.environ.update(SWITCHES)
    if "YOLO_CONFIG_DIR" not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="edge-export-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["YOLO_CONFIG_DIR"] = str(folder)
    from ultralytics.nn import tasks
    from ultralytics.utils import SETTINGS

    SETTINGS["sync"] = False
    return tasks
