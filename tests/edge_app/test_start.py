"""What `edge-app run` loads and builds before its first verdict (decision 0032)."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import edge_app

LIBRARIES = {
    "numpy", "cv2", "onnxruntime", "paho",
    "pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection",
    "tomli",  # before Python 3.11
}  # fmt: skip
"""All that a start needs of other people's. `cryptography` comes with the first key, an engine's or
a camera's library with the engine or the camera."""

OTHERS = (
    "edge_app.agent", "edge_app.camera_setup", "edge_app.cli.commands", "edge_app.cli.history",
    "edge_app.demo", "edge_app.doctor", "edge_app.model.offline", "edge_app.model.view_folder",
    "edge_app.page.server",
)  # fmt: skip
"""Folders and modules of ours that a start leaves to other commands."""

MADE_AT_IMPORT = {"Tolerances", "ViewRule", "SigningTerms", "_Serialization", "Requester"}
"""Models that are another's default, or a constant: one of each exists from the beginning."""

FIRST_VERDICT = """
import gc, json, sys
before = set(sys.modules)
sys.modules["dns"] = None  # paho takes it where the demo's broker brought it; devices have none
import edge_app.app as app
import edge_app.cli.main as cli

class Watched(app.EdgeApp):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs, observers=[self.seen])

    def seen(self, report):
        if report.finished:
            loaded = [m for n, m in list(sys.modules.items()) if n not in before]
            installed = {{m.__name__.partition(".")[0] for m in loaded
                if "site-packages" in (getattr(m, "__file__", None) or "")}}
            verdicts = [part.state.name for part in report.finished]
            looked_at = {{id(one) for one in gc.get_objects()}}
            seen = [id(one) in looked_at for one in (app.EdgeApp, app.ModelSlots, self, self.model)]
            ours = sorted(n for n in set(sys.modules) - before if n.startswith("edge_app."))
            print(json.dumps([sorted(installed), verdicts, gc.isenabled(), seen, ours]), flush=True)
            self.stop()

app.EdgeApp = Watched
raise SystemExit(cli.main(["run", "--config", {config!r}]))
"""

BUILT = """
import json
import edge_app.app
from pydantic import BaseModel

def below(kind):
    for one in kind.__subclasses__():
        yield one
        yield from below(one)

print(json.dumps(sorted({c.__name__ for c in below(BaseModel)
    if c.__module__.startswith("edge_app.") and c.__pydantic_complete__})))
"""

AT_ONCE = """
import importlib, pkgutil, threading
import edge_app
from pydantic import BaseModel, ValidationError

for module in pkgutil.walk_packages(edge_app.__path__, "edge_app."):
    importlib.import_module(module.name)

def below(kind):
    for one in kind.__subclasses__():
        yield one
        yield from below(one)

THREADS = 8
wrong = []
for kind in set(below(BaseModel)):
    if not kind.__module__.startswith("edge_app."):
        continue
    together, said = threading.Barrier(THREADS), []

    def use(kind=kind, together=together, said=said):
        together.wait()
        try:
            kind.model_validate({})
            said.append("taken")
        except ValidationError as error:
            said.append(str([e["loc"] for e in error.errors()]))
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
            wrong.append(f"{kind.__name__}: {said[-1]}")

    threads = [threading.Thread(target=use) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(said) != THREADS or len(set(said)) != 1:
        wrong.append(f"{kind.__name__}: {said}")
print(wrong)
"""


def fresh(program: str) -> str:
    """Return what a program prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def first_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what the command says at its first verdict, on the simulated line: libraries loaded,
    verdicts, whether garbage is collected, and of what, and modules of ours (see FIRST_VERDICT)."""
    monkeypatch.setenv("CROPLIQ_PAGE_SOCKET", str(tmp_path / "page.sock"))
    bundle = files("edge_app").joinpath("assets").joinpath("demo-tapered.bundle")
    config = tmp_path / "edge-app.toml"
    config.write_text(
        f'[device]\nsite = "s"\nline = "l"\ndevice = "d"\nstate_dir = "{tmp_path / "state"}"\n'
        f'[bundle]\npath = "{bundle}"\nallow_unsigned = true\n'
        '[[camera]]\nname = "cam1"\nurl = "sim:tapered?mode=numbered&parts=3"\n'
        '[mqtt]\nenabled = false\n[runtime]\nthreads = 1\nbackend = "onnxruntime"\n',
        encoding="utf-8",
    )

    said: list[Any] = json.loads(fresh(FIRST_VERDICT.format(config=str(config))).splitlines()[0])
    return said


def test_a_start_loads_these_libraries_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to its first verdict, with the shipped bundle and the simulated line, the command loads
    what every device needs, and nothing that is for keys, other cameras, GPUs or the page, nor for
    other commands."""
    installed, verdicts, _, _, ours = first_verdict(tmp_path, monkeypatch)

    names = set(installed) - {"edge_app"}
    assert names - LIBRARIES == set()
    assert {"numpy", "cv2", "onnxruntime", "pydantic", "paho"} <= names
    assert verdicts in (["OK"], ["NG"])
    assert [one for one in ours if one.startswith(OTHERS)] == []


def test_garbage_is_looked_for_among_what_was_made_and_not_in_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the running line a collection passes over what was imported; application and model, which
    may be switched away from, are among what it looks at."""
    _, _, is_on, (app, slots, made, model), _ = first_verdict(tmp_path, monkeypatch)

    assert is_on
    assert (app, slots) == (False, False)
    assert (made, model) == (True, True)


def test_every_model_is_built_when_it_is_first_used() -> None:
    """No model of edge_app builds its validator while its module is imported."""
    for module in pkgutil.walk_packages(edge_app.__path__, "edge_app."):
        importlib.import_module(module.name)

    ours = [kind for kind in below(BaseModel) if kind.__module__.startswith("edge_app.")]

    assert len(ours) > 100
    assert [k.__name__ for k in ours if not k.model_config.get("defer_build")] == []


def test_importing_the_application_builds_next_to_none() -> None:
    """Only models of which the code itself makes one at import are built then."""
    assert set(json.loads(fresh(BUILT))) == MADE_AT_IMPORT


def test_many_threads_may_use_a_model_first() -> None:
    """Eight threads that use a model for the first time in the same moment get one answer."""
    assert fresh(AT_ONCE) == "[]"


def below(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield every subclass, however far below."""
    for one in kind.__subclasses__():
        yield one
        yield from below(one)
