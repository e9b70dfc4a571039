"""Commands that are run hundreds of times in one process: their parsers are made once.

Making all of a command's parsers takes nine tenths of a run that is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

import pytest

import calibration.cli.main
import deploy.cli.main
import edge_app.cli.main
import export.cli.main

MODULES: dict[str, ModuleType] = {
    "edge-app": edge_app.cli.main,
    "edge-calibrate": calibration.cli.main,
    "edge-deploy": deploy.cli.main,
    "edge-export": export.cli.main,
}

_KEPT = {name: cache(module._parser) for name, module in MODULES.items()}


@contextmanager
def kept_parsers() -> Iterator[None]:
    """Have the four commands parse with the parsers of the run before."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in MODULES.items():
            patch.setattr(module, "_parser", _KEPT[name])
        yield
