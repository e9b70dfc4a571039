"""What a device installs and imports, seen from a fresh interpreter."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import edge_app

FORBIDDEN = ("torch", "torchvision", "ultralytics", "onnx", "export", "calibration", "deploy")

OPTIONAL = ("edge_app.demo.broker",)
"""Imports the `demo` extra; the import itself must work without it."""


def test_every_module_of_the_device_leaves_training_out() -> None:
    """Importing all of edge_app brings in neither torch nor ultralytics nor the other folders."""
    modules = [m.name for m in pkgutil.walk_packages(edge_app.__path__, "edge_app.")]
    assert len(modules) > 40
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print([n for n in {FORBIDDEN!r} if n in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_help_needs_no_heavy_import() -> None:
    """`edge-app --help` imports neither numpy nor OpenCV nor ONNX Runtime."""
    program = (
        "import sys\nfrom edge_app.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([n for n in ('numpy', 'cv2', 'onnxruntime', 'pydantic') if n in sys.modules],"
        " file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.strip() == "[]"
    assert "COMMAND" in done.stdout
