"""Fetches a bundle while somebody else fills the disk; run on an 8 MiB tmpfs by test_download_disk.

Usage: full_disk_download.py FOLDER. Prints one JSON object.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path

from support.deploy_pointers import pointer
from support.faulty_web_server import FaultyHandler, serving, whole

from edge_app.agent.pull.download import Downloader
from edge_app.agent.pull.download_rules import DownloadRules
from edge_app.errors import DownloadError

PAYLOAD = bytes(range(256)) * (16 << 10)  # 4 MiB


def main(folder: Path) -> None:
    """Fill the disk in the middle of the answer, then free it and fetch once more."""
    ballast = folder / "ballast"

    def fill_in_the_middle(handler: FaultyHandler) -> None:
        handler.head(200, Content_Length=len(PAYLOAD))
        handler.wfile.write(PAYLOAD[: len(PAYLOAD) // 4])
        ballast.write_bytes(b"x" * (shutil.disk_usage(folder).free - (1 << 20)))
        handler.wfile.write(PAYLOAD[len(PAYLOAD) // 4 :])

    rules = DownloadRules(allowed_hosts=("127.0.0.1",), max_bytes=len(PAYLOAD))
    downloader = Downloader(folder / "incoming", rules)
    refusal = ""
    with serving(fill_in_the_middle, whole(PAYLOAD)) as server:
        desired = pointer(server.url, PAYLOAD)
        try:
            downloader.fetch(desired, "main", threading.Event(), lambda *_: None)
        except DownloadError as error:
            refusal = str(error)
        left = [path.name for path in (folder / "incoming").iterdir()]
        ballast.unlink()
        file = downloader.fetch(desired, "main", threading.Event(), lambda *_: None)
    said = {"refusal": refusal, "left": left, "is_whole": file.read_bytes() == PAYLOAD}
    print(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
