"""Which versions trained a bundle: recorded in its provenance."""

from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("cropliq-edge", "numpy", "onnx", "onnxruntime", "opencv-python", "torch", "ultralytics")


def training_versions() -> dict[str, str]:
    """Return package name → version, for those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
