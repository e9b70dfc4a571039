"""The names of all methods, for commands that must not wait for torch to be imported."""

DEFAULT = "ensemble"
"""What a build trains unless another one is asked for (docs/decisions/0016)."""

CROPLIQ = "cropliq"
"""Pretext training on the product's own synthetic anomalies: Le and Kim's, with our densities."""

PUBLISHED: tuple[str, ...] = (
    "patchcore",
    "padim",
    "padim-slim",
    "cutpaste",
    "cutpaste-scar",
    "cutpaste-3way",
    "cutpaste-kde",
    "cutpaste-patch",
    "simplenet",
    "draem",
    "draem-slim",
    "autoencoder-l2",
    "autoencoder-ssim",
    "bgad",
    "f-anogan",
    "efficientad",
    "efficientad-slim",
)
"""Methods of the literature."""

NAMES: tuple[str, ...] = (DEFAULT, CROPLIQ, *PUBLISHED)
"""What `export/methods/registry.py` knows."""

AUTO = "auto"
"""Asks for a comparison of a few candidates: `export/auto_method/select.py`."""
