"""Which optional libraries a release has of its own, and their copy into the next release.

install.sh runs it with the Python of the release in use: `keep_extras.py list` prints one extra a
line and `plugin:NAME` for each package that brings cameras of its own (docs/cameras.md);
`keep_extras.py copy SITE_PACKAGES WORD ...` copies the libraries of these, and what they need
themselves, unless they are there. The standard library only: it runs in any release.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

OWN = "cropliq-edge-device"
CAMERAS = "cropliq_edge.cameras"
"""Group of entry points: edge_app/cameras/plugins.py."""
PLUGIN = "plugin:"


def names_of(needed_by: Distribution, extra: str = "") -> Iterator[str]:
    """Yield the libraries that a distribution needs, for an extra or without any."""
    for line in needed_by.requires or ():
        of = re.search(r"extra == ['\"]([^'\"]+)['\"]", line)
        if (of[1] if of else "") == extra and (name := re.match(r"[A-Za-z0-9._-]+", line)):
            yield name[0]


def in_release(name: str) -> Distribution | None:
    """Return a library of this release's own; the system's are none."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    return found if str(found.locate_file("")).startswith(sys.prefix) else None


def installed() -> list[str]:
    """Return the extras all of whose libraries are in this release."""
    own = in_release(OWN)
    if own is None:
        return []
    always = set(names_of(own))
    found = []
    for extra in own.metadata.get_all("Provides-Extra") or ():
        names = [name for name in names_of(own, extra) if name not in always]
        if names and all(map(in_release, names)):
            found.append(extra)
    return found


def plugins() -> list[str]:
    """Return the packages of this release that bring cameras of their own."""
    named = {
        found.metadata["Name"]
        for found in distributions()
        if any(entry.group == CAMERAS for entry in found.entry_points)
    }
    return sorted(name for name in named if in_release(name))


def copy(site: Path, words: list[str]) -> None:
    """Copy the libraries of extras and plug-ins into another release's folder of libraries."""
    own = distribution(OWN)
    extras = [word for word in words if not word.startswith(PLUGIN)]
    waiting = [word.removeprefix(PLUGIN) for word in words if word.startswith(PLUGIN)]
    waiting += [name for extra in extras for name in names_of(own, extra)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        found = in_release(name)
        if name in seen or found is None:
            continue
        seen.add(name)
        waiting += names_of(found)
        record = found.locate_file("")
        for file in found.files or ():
            source = Path(str(found.locate_file(file)))
            if ".." in file.parts or "__pycache__" in file.parts or not source.is_file():
                continue  # a command of the library's: a device has no use for it
            target = site / source.relative_to(str(record))
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)


if __name__ == "__main__":
    if sys.argv[1] == "list":
        print("\n".join([*installed(), *(PLUGIN + name for name in plugins())]))
    else:
        copy(Path(sys.argv[2]), sys.argv[3:])
