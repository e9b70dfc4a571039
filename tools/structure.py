"""Count rooms, arrows, floors and cycles of the four packages, as they are or as a commit had them.

    python tools/structure.py [COMMIT ...]

A room is a file or folder directly inside a package (`edge_app/app.py`, `edge_app/mqtt/`). An arrow
goes from one room to another that it imports, however often. Rooms that import each other in a
circle form a cycle. Floors: the longest chain of arrows, each cycle taken as one room.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGES = ("edge_app", "export", "calibration", "deploy")
ROOT = Path(__file__).resolve().parent.parent

Graph = dict[str, set[str]]


def sources(commit: str | None) -> dict[str, str]:
    """Return path → text of every Python file of the packages, of a commit or of the work tree."""
    if commit is None:
        files = (f for package in PACKAGES for f in (ROOT / package).rglob("*.py"))
        return {f.relative_to(ROOT).as_posix(): f.read_text(encoding="utf-8") for f in files}
    command = ["git", "-C", str(ROOT), "archive", commit, *PACKAGES]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    found: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.name.endswith(".py") else None
            if stream is not None:
                found[member.name] = stream.read().decode()
    return found


def room_graph(package: str, texts: Mapping[str, str]) -> Graph:
    """Return room → rooms of the same package that it imports, imports inside functions too."""
    inside = {p: t for p, t in texts.items() if p.startswith(f"{package}/")}
    rooms = {room for p in inside if (room := _room(p))}
    graph: Graph = {room: set() for room in rooms}
    for path, text in inside.items():
        room = _room(path)
        if room:
            targets = {t.split(".")[1] for t in _imports(text) if t.startswith(f"{package}.")}
            graph[room] |= (targets & rooms) - {room}
    return graph


def _room(path: str) -> str:
    name = path.split("/")[1].removesuffix(".py")
    return "" if name == "__init__" else name


def _imports(text: str) -> Iterator[str]:
    """Yield the dotted names that a file imports, `from a import b` as both a and a.b."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reachable(graph: Graph, start: str) -> set[str]:
    """Return the rooms that arrows lead to from `start`; itself only where it lies on a cycle."""
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        room = waiting.pop()
        if room not in seen:
            seen.add(room)
            waiting += graph[room]
    return seen


def cycles(graph: Graph) -> list[frozenset[str]]:
    """Return the sets of rooms that import each other in a circle, the largest first."""
    far = {room: reachable(graph, room) for room in graph}
    found = {
        frozenset(other for other in far[room] if room in far[other])
        for room in graph
        if room in far[room]
    }
    return sorted(found, key=len, reverse=True)


def floors(graph: Graph) -> int:
    """Return the number of rooms on the longest chain of arrows, each cycle taken as one room."""
    far = {room: reachable(graph, room) for room in graph}
    below = {room: {o for o in far[room] if room not in far[o]} for room in graph}
    height: dict[str, int] = {}
    for room in sorted(graph, key=lambda r: len(below[r])):
        height[room] = 1 + max((height[o] for o in below[room]), default=0)
    return max(height.values(), default=0)


def main(commits: list[str]) -> None:
    """Print a table for each commit, and for the work tree after them."""
    for commit in [*commits, None]:
        texts = sources(commit)
        print(f"{commit or 'work tree'}")
        print(f"  {'package':12} {'rooms':>5} {'arrows':>6} {'floors':>6}  rooms on cycles")
        for package in PACKAGES:
            graph = room_graph(package, texts)
            circles = ", ".join(str(len(c)) for c in cycles(graph)) or "none"
            arrows = sum(map(len, graph.values()))
            print(f"  {package:12} {len(graph):5} {arrows:6} {floors(graph):6}  {circles}")


if __name__ == "__main__":
    main(sys.argv[1:])
