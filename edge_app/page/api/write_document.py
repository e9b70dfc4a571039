"""Writes docs/openapi.json: `make schemas`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edge_app.page.api.catalogue import every_operation
from edge_app.page.api.document import openapi

DOCUMENT = "openapi.json"


def document_text() -> str:
    """Return the document as it stands in docs/."""
    return json.dumps(openapi(every_operation()), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the document into the folder named first."""
    if len(arguments) != 1:
        print("usage: python -m edge_app.page.api.write_document DOCS_FOLDER", file=sys.stderr)
        return 2
    target = Path(arguments[0]) / DOCUMENT
    target.write_text(document_text(), encoding="utf-8")
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
