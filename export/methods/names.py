"""The names of the field's methods, for commands that must not wait for torch to be imported."""

NAMES: tuple[str, ...] = (
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
"""What `export/methods/registry.py` knows; the product's own, "cropliq", stands beside them."""
