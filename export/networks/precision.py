"""Where training runs, and mixed precision where a GPU gains by it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def mixed_precision(device: str) -> AbstractContextManager[Any]:
    """Return bfloat16 autocast on "cuda:N" and nothing on the CPU, whose bytes must not change.

    bfloat16 has float32's range: no loss scaling is needed.
    """
    return torch.autocast("cuda", torch.bfloat16) if device.startswith("cuda") else nullcontext()


def training_device(name: str) -> str:
    """Return the device to train on; "auto" takes a GPU where there is one."""
    if name != "auto":
        return name
    return "cuda:0" if torch.cuda.is_available() else "cpu"
