"""Methods that other packages bring: found, refused and failing by name, never in another's way."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from support.method_parts import part, product_mask
from support.plugin_packages import METHODS, add_package

from edge_app.errors import DataError, ModelError
from edge_app.records import U8Array
from export.auto_method.select import CANDIDATES
from export.cli.main import main
from export.compare.run import method_names
from export.defects.evidence import Evidence
from export.methods.inspector_record import InspectorRecord
from export.methods.names import NAMES
from export.methods.padim import PaDiM
from export.methods.protocol import TrainingSet, TrainSettings
from export.methods.registry import method_of, origin_of
from export.methods.time_budget import FewerSteps
from export.methods.train import check_method, inspector_step, train_method
from export.workspace import Workspace

pytestmark = pytest.mark.needs("the extra train")

GOOD = """
import torch
from export.methods.protocol import FITTED_ONLY, Trained, Traits

class Graph(torch.nn.Module):
    def forward(self, crops):
        grey = crops.float().mean(3)
        map_nhw = torch.nn.functional.avg_pool2d(grey[:, None], 4)[:, 0]
        return map_nhw.amax((1, 2)), map_nhw

class Brightness:
    name, paper, traits = "{name}", "Nobody, nowhere, 2026", FITTED_ONLY
    graph, about = Graph, {{"method": "{name}", "settings": {{"sizes": (1, 2)}}}}
    def train(self, data, settings, on_progress):
        on_progress("looking", 1.0)
        return Trained(self.graph(), self.about)
"""

SETTINGS = TrainSettings(0, 9, "cpu", Path())

UNLOADABLE = {
    "no_module": ("import a_library_that_nobody_has", "No module named 'a_library"),
    "leaves": ("raise SystemExit(3)", "raised SystemExit"),
    "no_python": ("def (", "raised SyntaxError"),
    "no_maker": ("", "has no attribute 'Brightness'"),
    "maker_fails": ("def Brightness(): return 1 / 0", "raised ZeroDivisionError"),
    "another_name": (
        "Brightness.name = 'other'",
        "its `name` is 'other', its entry point's 'acme'",
    ),
    "no_paper": ("Brightness.paper = ''", "its `paper` is '', expected a text"),
    "no_traits": ("Brightness.traits = {}", "its `traits` is {}, expected export.methods"),
    "odd_folds": (
        "Brightness.traits = Traits(cross_fits='maybe')",
        "'maybe', expected 'no', 'refitted', 'itself'",
    ),
    "no_train": ("del Brightness.train", "it has no `train(data, settings, on_progress)`"),
    "other_train": ("Brightness.train = lambda self: 1", "it has no `train(data, settings"),
}
"""Name → what stands in the module, and what is said of it."""

FAILING = {
    "raises": ("Brightness.graph = None", "failed while training: it raised TypeError: 'NoneType'"),
    "leaves": ("Brightness.graph = lambda self: exit(3)", "raised SystemExit: 3"),
    "nothing": (
        "Brightness.train = lambda self, data, settings, on_progress: None",
        "its `train` returned NoneType, expected protocol.Trained",
    ),
    "other_about": ("Brightness.about = {'method': 'padim', 'settings': {}}", "method 'padim'"),
    "no_settings": ("Brightness.about = {'method': 'acme'}", "an object `settings` in it"),
    "no_json": (
        "Brightness.about = {'method': 'acme', 'settings': {'a': float('nan')}}",
        "its `about` is no JSON object",
    ),
    "odd_terms": (
        "Brightness.about = {'method': 'acme', 'settings': {'terms': 3}}",
        "its setting `terms` is no list",
    ),
    "no_graph": ("Brightness.graph = int", "its graph is int, expected torch.nn.Module"),
    "one_tensor": (
        "Graph.forward = lambda self, crops: crops.float().mean((1, 2, 3))",
        "it returned Tensor, expected two tensors: score and map",
    ),
}
"""Name → what stands behind the module's good text, and what is said after a training."""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of sys.path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def bring(
    packages: Path, module: str, text: str, name: str = "acme", package: str = "acme-method"
) -> None:
    add_package(packages, package, {module: text}, METHODS, **{name: f"{module}:Brightness"})


def crops(count: int = 6) -> list[U8Array]:
    return [part(i) for i in range(count)]


def trained(name: str, work: Path, processes: int = 1) -> InspectorRecord:
    work.mkdir(exist_ok=True)
    settings = TrainSettings(0, 1, "cpu", work)
    return train_method(
        name, crops(), product_mask(), settings, lambda _step, _share: None, processes=processes
    )


def test_an_installed_plug_in_is_a_method_by_its_name(
    packages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is listed and trains; what is kept names its package, as a resumed build reads it."""
    bring(packages, "acme_good", GOOD.format(name="acme"))
    check_method("acme")
    record = trained("acme", tmp_path / "work")
    assert record.method == "acme"
    assert re.fullmatch(r"acme-method 1\.0, code sha256 [0-9a-f]{16}", record.figures["plugin"])
    assert record == InspectorRecord.from_json(json.loads(json.dumps(record.as_json())))
    assert (tmp_path / "work" / "inspector.onnx").is_file()
    assert main(["methods"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("2026 (acme-method 1.0)")
    with pytest.raises(DataError, match=r"did you mean 'acme'\?.*efficientad-slim, acme, auto\."):
        check_method("acmee")


@pytest.mark.parametrize("fault", UNLOADABLE)
def test_a_plug_in_that_is_no_method_is_refused_by_name_only(
    packages: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a picture is read, with its package; other methods and other plug-ins work."""
    text, said = UNLOADABLE[fault]
    is_whole = "Brightness." in text
    module = f"acme_{fault}"
    bring(packages, module, GOOD.format(name="acme") + text if is_whole else text)
    bring(packages, f"other_{fault}", GOOD.format(name="other"), "other", "other-method")
    with pytest.raises(DataError, match=r"'acme' of acme-method 1\.0 cannot be used") as refused:
        check_method("acme")
    assert said in str(refused.value)
    assert method_of("other").name == "other"
    assert isinstance(method_of("padim"), PaDiM)
    assert main(["methods"]) == 1
    assert said in capsys.readouterr().out


def test_an_entry_point_without_a_maker_is_refused(packages: Path) -> None:
    text = GOOD.format(name="acme")
    add_package(packages, "acme-method", {"acme_bare": text}, METHODS, acme="acme_bare")
    with pytest.raises(DataError, match="is 'acme_bare', expected MODULE:MAKER"):
        check_method("acme")


def test_nothing_is_imported_that_was_not_asked_for(packages: Path) -> None:
    """Neither our methods nor the automatic choice nor `compare --methods all` look at it."""
    bring(packages, "acme_unread", "raise SystemExit('imported')")
    assert isinstance(method_of("padim"), PaDiM)
    check_method("auto")
    assert method_names("all") == NAMES
    assert set(CANDIDATES) <= set(NAMES)
    with pytest.raises(DataError, match="raised SystemExit: imported"):
        method_names("padim,acme")


@pytest.mark.parametrize("name", ["padim", "auto", "all"])
def test_our_own_names_cannot_be_taken(
    packages: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name stays what it was, and the list says what was left out."""
    bring(packages, f"thief_{name}", GOOD.format(name=name), name, "thief")
    assert isinstance(method_of("padim"), PaDiM)
    check_method("auto")
    assert method_names("all") == NAMES
    assert main(["methods"]) == 1
    told = capsys.readouterr().out
    assert f"{name!r} of thief 1.0 is left out: CropLiq Edge has methods of that name" in told


def test_of_two_with_one_name_neither_is_taken(packages: Path) -> None:
    for package in ("acme-one", "acme-two"):
        bring(packages, package.replace("-", "_"), GOOD.format(name="acme"), package=package)
    with pytest.raises(DataError, match=r"acme-two 1\.0 brings one of that name too"):
        check_method("acme")


def test_a_name_that_nobody_can_type_is_said(packages: Path) -> None:
    bring(packages, "acme_shout", GOOD.format(name="ACME"), "ACME")
    with pytest.raises(DataError, match="a name is lower-case letters, digits and single hyphens"):
        check_method("ACME")


@pytest.mark.parametrize("fault", FAILING)
def test_what_fails_while_it_trains_is_told_with_its_package(
    packages: Path, tmp_path: Path, fault: str
) -> None:
    """Whatever a plug-in's training raises or returns is a sentence, not a traceback."""
    text, said = FAILING[fault]
    bring(packages, f"failing_{fault}", f"{GOOD.format(name='acme')}\n{text}\n")
    with pytest.raises(DataError, match=r"'acme' of acme-method 1\.0") as refused:
        trained("acme", tmp_path / "work")
    assert said in str(refused.value)


def test_folds_that_were_promised_must_be_there(packages: Path) -> None:
    """With evidence given, a method that judges by folds itself has to hand them over."""
    text = "\nBrightness.traits = Traits(cross_fits='itself')\n"
    bring(packages, "acme_folds", GOOD.format(name="acme") + text)
    none = np.zeros(0, np.int64)
    evidence = Evidence(np.arange(6), np.stack(crops())[:0], none, none, ())
    data = TrainingSet(np.stack(crops()), None, evidence=evidence)
    with pytest.raises(DataError, match="judges by folds, and its `cross_fitted` is missing"):
        method_of("acme").train(data, SETTINGS, lambda _step, _share: None)


def test_the_clock_s_words_reach_the_clock(packages: Path) -> None:
    """A training that would end too late is stopped by its own progress call, plug-in or not."""
    bring(packages, "acme_late", GOOD.format(name="acme"))

    def too_late(_step: str, _share: float) -> None:
        raise FewerSteps(3)

    data = TrainingSet(np.stack(crops()), None)
    with pytest.raises(FewerSteps):
        method_of("acme").train(data, SETTINGS, too_late)


def test_a_graph_that_cannot_be_exported_names_its_package(packages: Path, tmp_path: Path) -> None:
    text = "\nGraph.forward = lambda s, x: (lambda m: (torch.special.i0(m.amax((1, 2))), m))("
    text += "torch.nn.functional.avg_pool2d(x.float().mean(3)[:, None], 4)[:, 0] / 999)\n"
    bring(packages, "acme_unwritten", GOOD.format(name="acme") + text)
    with pytest.raises(ModelError, match=r"'acme' of acme-method 1\.0 trained cannot be written"):
        trained("acme", tmp_path / "work")


def test_a_change_of_its_code_trains_again(packages: Path, tmp_path: Path) -> None:
    """A kept training is taken as it is until the package changes, its version or not."""
    bring(packages, "acme_kept", GOOD.format(name="acme"))
    steps: list[str] = []

    def build() -> None:
        space = Workspace(tmp_path / "a.work", lambda step, text, _share: steps.append(text))
        inspector_step(space, crops(), None, method="acme", seed=0, steps=1, device="cpu")

    build()
    assert "looking" in steps
    steps.clear()
    build()
    assert "looking" not in steps
    before = origin_of("acme")
    (packages / "acme_kept.py").write_text(GOOD.format(name="acme") + "\n# better\n")
    assert origin_of("acme") != before
    build()
    assert "looking" in steps
    assert origin_of("padim") == ""


@pytest.mark.slow
def test_several_processes_train_it(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each imports it by its name; what fails in them is told as in one process."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(packages), *sys.path]))
    text = GOOD.format(name="acme") + "\nBrightness.traits = Traits()\n"
    bring(packages, "acme_shared", text)
    record = trained("acme", tmp_path / "work", processes=2)
    assert record.figures["plugin"] == origin_of("acme")
    (packages / "acme_shared.py").write_text(text + "Brightness.graph = None\n")
    with pytest.raises(DataError, match=r"'acme' of acme-method 1\.0 failed while training"):
        trained("acme", tmp_path / "again", processes=2)
