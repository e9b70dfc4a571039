"""CropLiq as the registry knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from export.methods.cropliq.fit import FitSettings
from export.methods.cropliq.pretext_train import PretextSettings, train_inspector
from export.methods.protocol import Trained, TrainingSet, TrainSettings, Traits
from export.workspace import OnProgress

MAX_STEPS = 100
"""More make the features forget what ImageNet taught."""


@dataclass(frozen=True, slots=True)
class CropLiq:
    """Gentle pretext training on synthetic anomalies, then Gaussian terms in one graph.

    Its steps run on features that are computed once, so one process trains it.
    """

    name: str = "cropliq"
    settings: PretextSettings = field(default_factory=PretextSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    paper: str = "Le and Kim, CropLiq; Li et al., CutPaste, CVPR 2021"
    traits: ClassVar[Traits] = Traits(max_steps=MAX_STEPS, shares_batches=False)

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return the inspector fitted to good parts."""
        trained = train_inspector(
            list(data.crops),
            data.mask,
            settings.work,
            seed=settings.seed,
            steps=settings.steps,
            device=settings.device,
            progress=on_progress,
            pretext=self.settings,
            fit=self.fit,
        )
        return trained.as_trained()
