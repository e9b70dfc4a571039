"""What a folder's or a file's name says about the parts in it: good, bad, or nothing. No disk.

A name is cut into words at everything that is no letter, between letters and digits, and at
`smallLarge`; single letters in a row are one word. `NG_001`, `ng1`, `BadParts` and `n.i.O.` all
mean bad. Case never matters, nor how a letter is coded (wide letters, decomposed umlauts). Hashes
and UUIDs hold no words (`3bad81fe`). A doubtful name counts as bad: a good part that is refused
costs a rename, a bad one that is trained on is called good for ever.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath

GOOD_NAMES = (
    "good",
    "ok",
    "normal",
    "gut",
    "io",
    "pass",
    "passed",
    "healthy",
    "intact",
    "defectfree",
    "nodefect",
    "nodefects",
    "nondefective",
    "faultless",
    "fehlerfrei",
    "gutteil",
    "gutteile",
    "良品",
    "合格",
    "合格品",
    "正常",
    "양품",
    "정상",
)
"""A folder of that name holds good parts; `io` is German `i.O.`, the last ones are Chinese,
Japanese and Korean."""

NEVER_TRAINED = ("test", "ground_truth", "groundtruth", "ground truth")
"""Folders that are passed over wherever they lie: a data set's other parts."""

MASK_FOLDERS = ("mask", "masks", "labels", "gt", *NEVER_TRAINED[1:])
"""Folders that hold no pictures of parts at all."""

MASK_WORDS = ("mask", "masks", "label", "labels", "gt", "segmentation", "annotation", "groundtruth")
"""A file's last word: `Part5_label.bmp`, `000_mask.png`, `10000_GT.png` mark `Part5.jpg`, ..."""

_CODES = ("ng", "nok", "ko", "nio")
_BAD_WORDS = (
    "bad",
    "faulty",
    "fault",
    "faults",
    "reject",
    "rejects",
    "rejected",
    "scrap",
    "scraps",
    *("def", "defs", "fail", "fails", "failed", "failure", "failures", "outlier", "outliers"),
    *("flaw", "flaws", "flawed", "crack", "cracks", "cracked", "scratch", "scratches", "scratched"),
    *("dent", "dents", "dented", "broken", "damage", "damages", "damaged", "stain", "stains"),
    *("stained", "rusty", "chipped", "blowhole", "blowholes", "contamination", "contaminated"),
    *("misprint", "misprints", "blemish", "blemishes", "unhealthy", "rebut", "rebuts", "scarto"),
    *("scarti", "difetto", "difetti", "kratzer", "riss", "risse", "delle", "dellen", "bruch"),
    *("beschädigt", "mangelhaft"),
)
_BAD_STARTS = (
    *("defect", "defekt", "défaut", "défectu", "anomal", "abnormal", "schlecht", "fehler"),
    "ausschuss",
)
_BAD_INSIDE = ("不良", "欠陥", "缺陷", "次品", "不合格", "异常", "異常", "불량")
"""Chinese, Japanese and Korean names have no spaces between their words."""
_EITHER = ("positive", "positives", "negative", "negatives")
"""A folder of that name alone: a positive finding is a crack, a positive part is good."""
_OF_A_DATA_SET = (*MASK_WORDS, "test", "truth")
_NOT = ("no", "not", "non", "without", "nicht", "ohne", "kein", "keine")
_FILLERS = (
    *("parts", "part", "images", "image", "imgs", "pictures", "samples", "only", "products"),
    *("teile", "teil", "bilder"),
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(r"(?<![^\W_])[0-9a-f]{8,}(?![^\W_])", re.IGNORECASE)


def words_of(name: str) -> list[str]:
    """Return the words and numbers of a name, in lower case."""
    plain = _HEX.sub(_hash_apart, _UUID.sub(" 0 ", unicodedata.normalize("NFKC", name)))
    apart = re.sub(r"(?<=[^\W\d_A-ZÄÖÜ])(?=[A-ZÄÖÜ])", " ", plain)
    words: list[str] = []
    is_joining = False
    for word in re.findall(r"[^\W\d_]+|\d+", apart):
        is_letter = len(word) == 1 and word.isalpha()
        if is_letter and is_joining:
            words[-1] += word.lower()
        else:
            words.append(word.lower())
        is_joining = is_letter
    return words


def _hash_apart(found: re.Match[str]) -> str:
    """Return a number for a hash, with letters between its digits; `bad20241129` stays a word."""
    letter_runs = re.findall(r"[a-f]+", found[0], re.IGNORECASE)
    return "0" if len(letter_runs) > 1 and re.search(r"\d", found[0]) else found[0]


def means_good(folder_name: str) -> bool:
    """Tell whether a folder of that name holds good parts (`good`, `OK parts`, `i.O.`)."""
    return "".join(w for w in words_of(folder_name) if w not in _FILLERS) in GOOD_NAMES


def means_bad(name: str) -> bool:
    """Tell whether a word of a name says that a part is bad, or that a good word is denied."""
    words = words_of(name)
    if any(part in word for word in words for part in _BAD_INSIDE):
        return True
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word in _CODES or (word in GOOD_NAMES and before in _NOT):
            return True
        is_denied = before in _NOT or after in ("free", "frei") or word.endswith(("free", "frei"))
        if not is_denied and (word in _BAD_WORDS or word.startswith(_BAD_STARTS)):
            return True
    return False


def folder_is_no_good(name: str) -> bool:
    """Tell whether pictures in a sub-folder of that name must not be taken for good parts."""
    words = words_of(name)
    is_either = len(words) == 1 and words[0] in _EITHER
    return means_bad(name) or is_either or any(word in _OF_A_DATA_SET for word in words)


def file_is_no_good(name: str) -> bool:
    """Tell whether a picture of that name must not be taken for a good part.

    `mask`, `label` and `test` count as the last word only (DeepPCB's `0001_test.jpg`): a product
    may be a label.
    """
    stem = PurePath(name).stem
    words = words_of(stem)
    return means_bad(stem) or (len(words) > 1 and words[-1] in (*MASK_WORDS, "test"))


def whole_name_is_bad(name: str) -> bool:
    """Tell whether a name says nothing but bad: `NG`, `bad parts`; not `defect_inspection`."""
    words = [w for w in words_of(name) if w not in _FILLERS and not w.isdecimal()]
    return (
        bool(words)
        and means_bad(name)
        and all(means_bad(w) or w in (*_NOT, *GOOD_NAMES) for w in words)
    )


def marked_stem(stem: str) -> str | None:
    """Return the stem of the picture that a mask of that stem marks, or None if it is no mask."""
    found = re.fullmatch(rf"(.+)[_\-. ](?:{'|'.join(MASK_WORDS)})", stem, re.IGNORECASE)
    return found[1] if found else None
