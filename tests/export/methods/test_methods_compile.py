"""Every method's graph through NVIDIA's own parser and builder, and against JetPack 6's list."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.method_parts import assert_compiles, train

from export.methods.autoencoder import AutoencoderMethod, AutoencoderSettings
from export.methods.cutpaste import CutPaste, CutPasteSettings
from export.methods.cutpaste_patch import PatchCutPaste, PatchCutPasteSettings
from export.methods.draem import Draem, DraemSettings
from export.methods.ensemble.method import Ensemble
from export.methods.padim import PaDiM, PaDiMSettings
from export.methods.patchcore import PatchCore, PatchCoreSettings
from export.methods.protocol import Method
from export.methods.simplenet import SimpleNet, SimpleNetSettings

pytestmark = pytest.mark.needs("the extra train")

SMALL: dict[str, Method] = {
    "ensemble": Ensemble(),
    "patchcore": PatchCore(settings=PatchCoreSettings(coreset=50)),
    "padim": PaDiM(settings=PaDiMSettings(dimensions=40)),
    "cutpaste": CutPaste(settings=CutPasteSettings(batch=2)),
    "cutpaste-kde": CutPaste("cutpaste-kde", CutPasteSettings(batch=2, density="kernels")),
    "cutpaste-patch": PatchCutPaste(settings=PatchCutPasteSettings(batch=3)),
    "simplenet": SimpleNet(settings=SimpleNetSettings(batch=2)),
    "draem": Draem(settings=DraemSettings(widths=(4, 4), batch=2)),
    "autoencoder-ssim": AutoencoderMethod("autoencoder-ssim", AutoencoderSettings(latent=8)),
}
"""The variants that are left out have the same operators."""


@pytest.mark.needs("TensorRT-RTX")
@pytest.mark.parametrize("name", SMALL)
def test_graph_compiles_ahead_of_time(name: str, tmp_path: Path) -> None:
    """The graph becomes an engine for an Ampere GPU, and TensorRT 10.3 lists every operator."""
    assert_compiles(train(SMALL[name], tmp_path, steps=1), tmp_path)
