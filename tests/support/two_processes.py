"""Started by torchrun: every method trains a little in each process, which keeps its weights.

torchrun --module support.two_processes FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from export.methods.autoencoder import AutoencoderMethod, AutoencoderSettings
from export.methods.bgad import Bgad, BgadSettings
from export.methods.cutpaste import CutPaste, CutPasteSettings
from export.methods.cutpaste_patch import PatchCutPaste, PatchCutPasteSettings
from export.methods.draem import Draem, DraemSettings
from export.methods.efficientad import EfficientAd, EfficientAdSettings
from export.methods.fanogan import FAnoGan, FAnoGanSettings
from export.methods.multi_process.rank import join_others
from export.methods.protocol import Method, TrainSettings
from export.methods.simplenet import SimpleNet
from support.method_parts import parts

METHODS: dict[str, Method] = {
    "autoencoder-l2": AutoencoderMethod("autoencoder-l2", AutoencoderSettings(latent=16, batch=4)),
    "cutpaste": CutPaste("cutpaste", CutPasteSettings(batch=4)),
    "cutpaste-patch": PatchCutPaste(settings=PatchCutPasteSettings(batch=6)),
    "simplenet": SimpleNet(),
    "draem": Draem("draem", DraemSettings(widths=(8, 8), batch=4)),
    "bgad": Bgad(settings=BgadSettings(couplings=2, batch=4)),
    "f-anogan": FAnoGan(settings=FAnoGanSettings(latent=16, width=8, batch=4)),
    "efficientad": EfficientAd(settings=EfficientAdSettings(width=16)),
}
STEPS = 3


def train_and_keep(name: str, folder: Path, file: str) -> None:
    """Train one method and write its graph's weights and losses to FOLDER/FILE."""
    torch.set_num_threads(1)
    settings = TrainSettings(seed=3, steps=STEPS, device="cpu", work=folder)
    trained = METHODS[name].train(parts(8), settings, lambda _step, _done: None)
    weights = {key: value.numpy() for key, value in trained.graph.state_dict().items()}
    np.savez(folder / file, losses=trained.about["losses"], **weights)


def main(folder: Path) -> None:
    """Join the other processes and train with them."""
    join_others("cpu")
    for name in METHODS:
        train_and_keep(name, folder, f"{name}-{torch.distributed.get_rank()}.npz")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
