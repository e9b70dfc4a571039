"""What mkdocs needs beyond docs/: pages from the README, from argparse and from docstrings.

`make docs` runs it. The documents stay as they are and can be read on their own; here their links
are turned (links.py), and what they link to outside docs/ becomes a page.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import commands
from links import ROOT, page_of, rewritten, targets

ABOUT = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md")
"""Documents of the repository's root that are pages."""

RECORDS = ("project/CHANGELOG", "attacks", "decisions/", "faults", "methods_table", "python")
"""Pages that mention everything once."""

API = {
    "Reading bundles": ("edge_app.bundle.archive", "edge_app.bundle.trusted_keys"),
    "Judging pictures": ("edge_app.model.loaded_model", "edge_app.model.looks",
                         "edge_app.model.offline"),
    "Records": ("edge_app.records",),
    "Errors": ("edge_app.errors",),
    "Cameras": ("edge_app.cameras.protocol", "edge_app.cameras.registry",
                "edge_app.cameras.source_url"),
    "Drivers and plug-ins": ("edge_app.cameras.isolation.raw", "edge_app.cameras.isolation.camera",
                             "edge_app.cameras.plugins"),
    "Methods and plug-ins": ("export.methods.protocol",),
    "MQTT": ("edge_app.mqtt.topics", "edge_app.mqtt.messages"),
}  # fmt: skip
"""What programs of others may import, by subject."""

LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".yml": "yaml", ".sh": "sh"}

_sources: dict[str, str] = {}
"""Page on the site → document of the repository."""


def on_config(config: Any) -> Any:
    """Have headings' anchors as GitHub makes them, since links count on them; list the folders."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = github_anchor
    config.nav = _with_folders(config.nav)
    return config


def github_anchor(heading: str, separator: str) -> str:
    """Return a heading's anchor by GitHub's rule."""
    return re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", separator)


def _with_folders(nav: Any) -> Any:
    """Put a folder's documents where the navigation names the folder."""
    if isinstance(nav, list):
        return [_with_folders(entry) for entry in nav]
    if isinstance(nav, dict):
        return {title: _with_folders(entry) for title, entry in nav.items()}
    folder = ROOT / "docs" / str(nav)
    return [f"{nav}/README.md", *_documents(folder)] if folder.is_dir() else nav


def _documents(folder: Path) -> list[str]:
    found = sorted(f for f in folder.glob("*.md") if not f.name.startswith("0000"))
    return [f.relative_to(ROOT / "docs").as_posix() for f in found]


def on_files(files: Files, config: Any) -> Files:
    """Add what lies outside docs/, and what is made from the code."""
    _sources.clear()
    for file in files.documentation_pages():
        _sources[file.src_uri] = f"docs/{file.src_uri}"
    waiting = list(ABOUT)
    waiting += [t for s in list(_sources.values()) for t in targets(_read(s), s)]
    while waiting:
        path = waiting.pop()
        page = page_of(path)
        is_folder = (ROOT / path).is_dir()
        if page in _sources or (path.startswith("docs/") and not is_folder):
            continue
        _sources[page] = path
        if path.endswith(".md"):
            waiting += targets(_read(path), path)
        files.append(File.generated(config, page, content=_content(path)))
    for program in commands.PROGRAMS:
        name = f"commands/{program}.md"
        files.append(File.generated(config, name, content=commands.page_of(program)))
    files.append(File.generated(config, "python.md", content=_api()))
    worker = (HERE / "static" / "iframe-worker.js").read_text(encoding="utf-8")
    files.append(File.generated(config, "assets/iframe-worker.js", content=worker))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn a document's links; have records be found after what explains."""
    if page.file.src_uri.startswith(RECORDS):
        page.meta["search"] = {"boost": 0.3}
    source = _sources.get(page.file.src_uri)
    if source is None or not source.endswith(".md"):
        return markdown
    return rewritten(markdown, source, page.file.src_uri, page_of)


def _content(path: str) -> str:
    if (ROOT / path).is_dir():
        return _listing(ROOT / path)
    if path.endswith(".md"):
        return _read(path)
    name = Path(path)
    language = LANGUAGES.get(name.suffix, "text")
    unsought = "---\nsearch:\n  exclude: true\n---\n"
    return f"{unsought}# {name.name}\n\n`{path}`\n\n````{language}\n{_read(path).rstrip()}\n````\n"


def _listing(folder: Path) -> str:
    lines = [f"# {folder.name.capitalize()}", ""]
    for name in _documents(folder):
        title = _read(f"docs/{name}").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({Path(name).name})")
    return "\n".join(lines) + "\n"


def _api() -> str:
    lines = [
        "# From Python",
        "",
        "What the [examples](examples/README.md) use, and what lies beside it. Until 1.0 it may "
        "change, with a line in the [changelog](project/CHANGELOG.md); what is not here may change "
        "without one.",
        "",
    ]
    for subject, modules in API.items():
        lines += [f"## {subject}", ""]
        lines += [f"::: {module}\n    options:\n      heading_level: 3\n" for module in modules]
    return "\n".join(lines)


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
