"""Synthetic anomalies on good crops: CropLiq, CutPaste and Scar.

Every picture here is uint8 (h, w, 3) BGR, every mask uint8 (h, w), 0 = outside, > 0 = inside.
"""

from export.augment.cutpaste import cut_paste
from export.augment.draw import KINDS, SyntheticAnomaly, pseudo_anomaly
from export.augment.liquify import crop_liq
from export.augment.scar import scar

__all__ = ["KINDS", "SyntheticAnomaly", "crop_liq", "cut_paste", "pseudo_anomaly", "scar"]
