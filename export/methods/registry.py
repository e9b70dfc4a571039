"""Every method by its name: the one place that names their classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial

from edge_app.errors import DataError
from export.methods import autoencoder, cutpaste, draem, efficientad, padim
from export.methods.autoencoder import AutoencoderMethod
from export.methods.bgad import Bgad
from export.methods.cropliq.method import CropLiq
from export.methods.cutpaste import CutPaste
from export.methods.cutpaste_patch import PatchCutPaste
from export.methods.draem import Draem
from export.methods.efficientad import EfficientAd
from export.methods.ensemble.method import Ensemble
from export.methods.fanogan import FAnoGan
from export.methods.names import NAMES
from export.methods.padim import PaDiM
from export.methods.patchcore import PatchCore
from export.methods.plugins import PluginMethod, method_plugins, plugin_method
from export.methods.protocol import Method
from export.methods.simplenet import SimpleNet

_MAKERS: dict[str, Callable[[], Method]] = {
    "ensemble": Ensemble,
    "cropliq": CropLiq,
    "patchcore": PatchCore,
    "padim": PaDiM,
    "padim-slim": partial(PaDiM, "padim-slim", padim.SLIM),
    "cutpaste": CutPaste,
    "cutpaste-scar": partial(CutPaste, "cutpaste-scar"),
    "cutpaste-3way": partial(CutPaste, "cutpaste-3way"),
    "cutpaste-kde": partial(CutPaste, "cutpaste-kde", cutpaste.KERNELS),
    "cutpaste-patch": PatchCutPaste,
    "simplenet": SimpleNet,
    "draem": Draem,
    "draem-slim": partial(Draem, "draem-slim", draem.SLIM),
    **{name: partial(AutoencoderMethod, name) for name in autoencoder.FORMS},
    "bgad": Bgad,
    "f-anogan": FAnoGan,
    "efficientad": EfficientAd,
    "efficientad-slim": partial(EfficientAd, "efficientad-slim", efficientad.SLIM),
}


def method_of(name: str, also: Sequence[str] = ()) -> Method:
    """Return a method with its default settings; a plug-in's is imported for it.

    Args:
        also: other words that may stand in a method's place, for the message.

    Raises:
        DataError: there is no such method, with the nearest one; or its plug-in cannot be used.
    """
    if name in _MAKERS:
        return _MAKERS[name]()
    plugins = method_plugins()
    found = [plugin for plugin in plugins if plugin.name == name]
    if not found:
        usable = (plugin.name for plugin in plugins if not plugin.why_unusable)
        raise unknown_method(name, (*NAMES, *usable, *also))
    return plugin_method(found[0])


def origin_of(name: str) -> str:
    """Return package, version and code digest of a plug-in's method; "" for one of ours.

    Raises:
        DataError: as `method_of`.
    """
    method = method_of(name)
    return method.origin if isinstance(method, PluginMethod) else ""


def unknown_method(name: str, known: Sequence[str]) -> DataError:
    """Return what to raise for a name that is not among the known ones: names all of them."""
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return DataError(f"There is no method {name!r}: {hint}choose one of {', '.join(known)}.")
