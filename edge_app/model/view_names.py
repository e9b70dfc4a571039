"""What each inspected picture's drawing is called: legal everywhere, short enough, its own.

No disk is touched here. A drawing keeps its picture's sub-folder and is called `STEM.jpg`. Where
two would meet (`a.jpg` beside `a.png`, or names that differ in case only, which are one file on
many disks), all of them keep their ending (`a.png.jpg`), or get eight digits of their name's digest
(`a~1f00ba11.jpg`). So does a name that had to be changed: shortened, or freed of what Windows and
its shares refuse.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

ENDING = ".jpg"
MAX_NAME_BYTES = 255
"""Of one file or folder name: ext4, xfs, btrfs and NTFS (there in characters)."""

MAX_PATH_BYTES = 4000
"""Of a drawing's name below its folder; Linux takes 4096 with the folder and the final zero."""

_REFUSED = re.compile(r'[<>:"\\|?*\x00-\x1f\x7f\ud800-\udfff]')
"""By Windows, FAT and SMB; the last range is what bytes that are no UTF-8 become."""

_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)

_TAG_DIGITS = (0, 0, 8, 64)
"""Of the digest, for each attempt at a name of its own: stem, whole name, and these."""


def view_names(
    names: Sequence[str], max_name_bytes: int = MAX_NAME_BYTES, max_path_bytes: int = MAX_PATH_BYTES
) -> dict[str, str]:
    """Return each picture's name → its drawing's, both relative, with `/`; no two meet.

    Args:
        names: relative to the inspected folder, each once.
        max_name_bytes: what the disk takes for one file or folder name.
        max_path_bytes: what it takes for the whole drawing's name; a deeper one lies on top.
    """
    attempts = dict.fromkeys(names, 0)
    while True:
        found = {
            name: _view_name(name, attempt, max_name_bytes, max_path_bytes)
            for name, attempt in attempts.items()
        }
        taken = Counter(_key(view) for view in found.values())
        folders = {_key(str(up)) for view in found.values() for up in PurePosixPath(view).parents}
        meeting = [n for n, v in found.items() if taken[_key(v)] > 1 or _key(v) in folders]
        if not meeting:
            return found
        for name in meeting:
            attempts[name] = min(attempts[name] + 1, len(_TAG_DIGITS) - 1)


def _view_name(name: str, attempt: int, max_name_bytes: int, max_path_bytes: int) -> str:
    *folders, file = PurePosixPath(name).parts
    base = file if attempt else PurePosixPath(file).stem
    room = max_name_bytes - len(ENDING)
    last = _legal(base, name, room, _TAG_DIGITS[attempt]) + ENDING
    view = "/".join([*(_legal(part, part, max_name_bytes, 0) for part in folders), last])
    if len(view.encode()) <= max_path_bytes:
        return view
    return _legal(base, name, room, max(_TAG_DIGITS)) + ENDING


def _legal(part: str, digested: str, max_bytes: int, digits: int) -> str:
    """Return a name component any disk takes; one that was changed or asks for it has a tag."""
    clean = _REFUSED.sub("_", part).rstrip(". ") or "_"
    if _DEVICES.fullmatch(clean):
        clean = "_" + clean
    if clean == part and digits == 0 and len(clean.encode()) <= max_bytes:
        return clean
    tag = "~" + hashlib.sha256(os.fsencode(digested)).hexdigest()[: digits or 8]
    return clean.encode()[: max_bytes - len(tag)].decode(errors="ignore").rstrip(". ") + tag


def _key(view: str) -> str:
    """Return what is one name on a disk that knows neither case nor Unicode forms."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", view).casefold())
