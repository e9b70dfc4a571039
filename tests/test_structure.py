"""The shape of the four packages: rooms without cycles, few files at the roots."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).parent.parent
_spec = spec_from_file_location("structure", ROOT / "tools" / "structure.py")
assert _spec is not None
assert _spec.loader is not None
structure = module_from_spec(_spec)
_spec.loader.exec_module(structure)


def test_no_rooms_import_each_other_in_a_circle() -> None:
    """What import-linter's floors forbid, counted by other means: no cycle in any package."""
    texts = structure.sources(None)
    for package in structure.PACKAGES:
        graph = structure.room_graph(package, texts)
        assert structure.cycles(graph) == [], package
        assert len(graph) > 3


def test_packages_have_few_files_at_their_roots() -> None:
    """At most ten each: a stranger finds the way in the folder tree."""
    for package in structure.PACKAGES:
        assert len(list((ROOT / package).glob("*.py"))) <= 10, package


def test_circles_and_floors_are_counted() -> None:
    """Three rooms in a circle with one below: one cycle, two floors."""
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}
    assert structure.cycles(graph) == [frozenset("abc")]
    assert structure.floors(graph) == 2
    texts = {"p/__init__.py": "", "p/a.py": "from p.b import x\nimport p.c", "p/b/c.py": ""}
    assert structure.room_graph("p", texts) == {"a": {"b"}, "b": set()}
