"""Judge a folder of pictures from Python: `python judge_folder.py part.bundle pictures/`.

What `edge-app inspect` does, for a program that wants the verdicts as records. A bundle from
elsewhere is read with the keys you trust: `read_bundle(path, trust=load_trust(Path("keys")))`,
from `edge_app.bundle.trusted_keys`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edge_app.bundle.archive import read_bundle
from edge_app.model.loaded_model import load_model
from edge_app.model.offline import inspect_pictures, pictures_at


def main(bundle: Path, folder: Path) -> int:
    """Print a line a picture and return the number of pictures that are not OK."""
    model = load_model(read_bundle(bundle))
    count = 0
    for result in inspect_pictures(model, pictures_at(folder)):
        # "OK", "NG" or "NOT_INSPECTED", then "reason" says why: never take it for OK
        count += result["verdict"] != "OK"
        print(result["verdict"], result.get("score"), result["picture"])
    return count


if __name__ == "__main__":
    sys.exit(min(1, main(Path(sys.argv[1]), Path(sys.argv[2]))))
