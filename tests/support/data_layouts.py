"""Folders as people bring them, drawn from a seed: right, wrong, mixed, and full of rubbish.

`layouts(seed)` gives about 80 of them. Each writes itself into a folder and says what a build must
do: take exactly these pictures for good parts, or refuse in words. Every picture that shows a bad
part, a mask or a test part is on record, so that a test can prove that none of them is trained on.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edge_app.records import BoxCxcywhr, U8Array
from support.label_writers import WRITERS, Boxes, upright_line, yolo_line

HW = (24, 32)
ENOUGH = 22

GOOD = (
    "good",
    "Good",
    "OK",
    "ok",
    "normal",
    "NORMAL",
    "gut",
    "i.O.",
    "pass",
    "defect-free",
    "良品",
)
BAD = (
    "NG",
    "bad",
    "Bad Parts",
    "defective",
    "ABNORMAL",
    "anomaly",
    "ko",
    "n.i.O.",
    "failed",
    "不良品",
)
KINDS = ("crack", "bent", "monday", "hole_large", "color", "scratch")
ODD_NAMES = (
    "Müller Teil",
    "検査 画像",
    "🔩 bolt",
    "a[red]b",
    "[/]",
    "100%s",
    "it's",
    'quo"te',
    "-rf",
    "back\\slash",
    "new\nline",
    " lead",
    "trail ",
    "dots...",
    "{brace}",
    "ключ",
    "x" * 120,
    "a&b;c",
)
ENDINGS = (".png", ".jpg", ".jpeg", ".JPG", ".bmp", ".tif", ".TIFF", ".webp", ".PNG")


@dataclass(frozen=True)
class Right:
    """A build would start, on the pictures that were written as good ones."""

    says: str = ""


@dataclass(frozen=True)
class Refused:
    """A build would refuse; the sentence matches this expression."""

    says: str


Outcome = Right | Refused


@dataclass
class Maker:
    """Writes one data set.

    Attributes:
        root: what `--data` names.
        good, other: paths below root of good parts, and of everything else that is a picture.
    """

    root: Path
    rng: np.random.Generator
    good: set[str] = field(default_factory=set)
    other: set[str] = field(default_factory=set)

    def pixels(self, hw: tuple[int, int] = HW) -> U8Array:
        return self.rng.integers(0, 256, (*hw, 3), dtype=np.uint8)

    def pick(self, pool: tuple[str, ...]) -> str:
        return pool[int(self.rng.integers(len(pool)))]

    def write(self, name: str, values: np.ndarray) -> None:
        ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 — the name may be no UTF-8
        is_ok, encoded = cv2.imencode(ending, values)
        assert is_ok
        self.bytes(name, encoded.tobytes())

    def bytes(self, name: str, content: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def goods(self, folder: str, count: int = ENOUGH, ending: str = ".png") -> list[str]:
        """Write good parts and return their names."""
        names = [f"{folder}/{i:03d}{ending}".lstrip("/") for i in range(count)]
        for name in names:
            self.good_part(name)
        return names

    def good_part(self, name: str, values: np.ndarray | None = None) -> None:
        self.write(name, self.pixels() if values is None else values)
        self.good.add(name)

    def others(self, folder: str, count: int = 3, ending: str = ".png") -> None:
        for i in range(count):
            self.write(f"{folder}/b{i:02d}{ending}".lstrip("/"), self.pixels())
            self.other.add(f"{folder}/b{i:02d}{ending}".lstrip("/"))

    def mask(self, name: str, is_marked: bool = True, hw: tuple[int, int] = HW) -> None:
        values = np.zeros(hw, np.uint8)
        if is_marked:
            values[3:6, 4:9] = (self.pick(("1", "2", "255")) == "255" and 255) or 1
        self.write(name, values)
        self.other.add(name)


Layout = Callable[[Maker], Outcome]


# -- right ---------------------------------------------------------------------------------------


def plain(m: Maker) -> Outcome:
    """Pictures right inside, in any format."""
    m.goods("", ending=m.pick(ENDINGS))
    return Right()


def shifts(m: Maker) -> Outcome:
    """Sub-folders by day and shift, the same file names in each."""
    for day in ("monday", "tuesday/early", "tuesday/late"):
        m.goods(day, 8)
    return Right()


def deep(m: Maker) -> Outcome:
    """Thirty folders deep."""
    m.goods("/".join("abcdefghij" * 3))
    return Right()


def odd_folders(m: Maker) -> Outcome:
    """Names with markup, umlauts, blanks, quotes, new lines."""
    for i in range(3):
        m.goods(f"{m.pick(ODD_NAMES)} {i}", 8)
    return Right()


def odd_files(m: Maker) -> Outcome:
    for i in range(ENOUGH):
        m.good_part(f"{ODD_NAMES[i % len(ODD_NAMES)]} {i}.png")
    return Right()


def not_utf8(m: Maker) -> Outcome:
    """Names in the bytes of an old Windows."""
    for i in range(ENOUGH):
        m.good_part(os.fsdecode(b"Gr\xf6\xdfe %d.png" % i))
    return Right()


def hashes(m: Maker) -> Outcome:
    """Pictures named by hashes and UUIDs, in which `bad` and `def` may stand."""
    for i in range(ENOUGH):
        word = ("bad", "def")[i % 2]
        tail = m.rng.bytes(12).hex()
        m.good_part(f"7{word}{i:02d}e{tail}.png" if i % 3 else f"part_jpg.rf.7{word}0a{tail}.jpg")
    return Right()


def mvtec(m: Maker) -> Outcome:
    m.goods("train/good")
    m.others("test/good")
    for kind in KINDS[:3]:
        m.others(f"test/{kind}")
        m.mask(f"ground_truth/{kind}/b00_mask.png")
    return Right()


def btad(m: Maker) -> Outcome:
    m.goods("train/ok", ending=".bmp")
    m.others("test/ko", ending=".bmp")
    m.mask("ground_truth/ko/b00.png")
    return Right()


def visa(m: Maker) -> Outcome:
    m.goods("Data/Images/Normal", ending=".JPG")
    m.others("Data/Images/Anomaly", ending=".JPG")
    m.mask("Data/Masks/Anomaly/b00.png")
    return Right("Anomaly")


def two_sides(m: Maker) -> Outcome:
    """Good beside bad, in many languages."""
    m.goods(m.pick(GOOD))
    bad = m.pick(BAD)
    m.others(bad)
    return Right(bad.split()[0].split(".")[0])


def split_sides(m: Maker) -> Outcome:
    train = m.pick(("train", "Train", "TRAIN", "images", "Images"))
    m.goods(f"{train}/{m.pick(GOOD)}")
    m.others(f"{train}/{m.pick(BAD)}")
    m.others(f"Test/{m.pick(BAD)}")
    return Right()


def good_and_kinds(m: Maker) -> Outcome:
    m.goods(m.pick(GOOD))
    for kind in KINDS:
        m.others(kind)
    m.mask("masks/b00.png")
    return Right("bent")


def kolektor(m: Maker) -> Outcome:
    """Masks beside the pictures: what is marked is bad."""
    suffix = m.pick(("_label", "_mask", "_GT"))
    for i in range(ENOUGH + 3):
        name = f"kos{i % 4:02d}/Part{i}"
        if i < 3:
            m.write(f"{name}.jpg", m.pixels())
            m.other.add(f"{name}.jpg")
        else:
            m.good_part(f"{name}.jpg")
        m.mask(f"{name}{suffix}.png", is_marked=i < 3)
    return Right("masks")


def tiles(m: Maker) -> Outcome:
    """Magnetic tiles: the mask has the picture's own name."""
    for i in range(ENOUGH + 3):
        if i < 3:
            m.write(f"exp{i}.jpg", m.pixels())
            m.other.add(f"exp{i}.jpg")
        else:
            m.good_part(f"exp{i}.jpg")
        m.mask(f"exp{i}.png", is_marked=i < 3)
    return Right("masks")


def mixed_formats(m: Maker) -> Outcome:
    for i in range(ENOUGH + len(ENDINGS)):
        m.good_part(f"p{i:02d}{ENDINGS[i % len(ENDINGS)]}")
    return Right()


def equal_stems(m: Maker) -> Outcome:
    for i in range(ENOUGH // 2):
        for ending in (".png", ".jpg"):
            m.good_part(f"{i:03d}{ending}")
    return Right()


def depths(m: Maker) -> Outcome:
    """8, 12 and 16 bits, grey and colour, with and without alpha."""
    for i in range(ENOUGH):
        channels, top = (1, 3, 4)[i % 3], (256, 4096, 65536)[i % 7 % 3]
        values = m.rng.integers(0, top, (*HW, channels), dtype=np.uint16)
        m.good_part(f"{i}.png", values if top > 256 else values.astype(np.uint8))
    return Right()


def orientations(m: Maker) -> Outcome:
    """EXIF 1 to 8."""
    for i in range(24):
        _, encoded = cv2.imencode(".jpg", m.pixels())
        m.bytes(f"{i}.jpg", with_exif(encoded.tobytes(), i % 8 + 1))
        m.good.add(f"{i}.jpg")
    return Right("EXIF orientation")


def copies(m: Maker) -> Outcome:
    """The same bytes under other names count once."""
    names = m.goods("a")
    for name in names[:6]:
        m.bytes(name.replace("a/", "b/"), (m.root / name).read_bytes())
    return Right("byte-identical copies")


def damaged(m: Maker) -> Outcome:
    """Empty, cut, foreign and lying files among good ones are named."""
    m.goods("")
    _, jpeg = cv2.imencode(".jpg", m.pixels((60, 80)))
    _, png = cv2.imencode(".png", m.pixels())
    for name, content in (
        ("empty.png", b""),
        ("cut.jpg", jpeg.tobytes()[:900]),
        ("cut.png", png.tobytes()[:-40]),
        ("page.png", b"<html><body>404</body></html>"),
        ("zip.tif", b"PK\x03\x04" + bytes(50)),
        ("zeros.bmp", bytes(4096)),
    ):
        m.bytes(name, content)
    return Right("6 pictures cannot be read")


def labelled(m: Maker) -> Outcome:
    """A person's labels from one of the tools."""
    names = [*m.goods("a"), *m.goods("b/images", 6)]
    tool = m.pick(tuple(WRITERS))
    WRITERS[tool](m.root, boxes(names, is_turned=tool != "CVAT YOLO"), HW, "part")
    return Right("take your labels, which 28 of 28")


def roboflow_split(m: Maker) -> Outcome:
    """Roboflow's whole export: train, valid, test, READMEs; test is not opened."""
    names = m.goods("train/images", ending=".jpg") + m.goods("valid/images", 4, ending=".jpg")
    m.others("test/images", ending=".jpg")
    for name in [*names, "test/images/b00.jpg"]:
        (box,) = boxes([name])[name]
        text = yolo_line(box, HW).encode()
        m.bytes(os.path.splitext(name.replace("/images/", "/labels/"))[0] + ".txt", text)  # noqa: PTH122
    m.bytes("data.yaml", b"names: ['screw']\nnc: 1\n")
    m.bytes("README.roboflow.txt", b"screws - v2\n")
    return Right("take your labels, which 26 of 26")


def linked(m: Maker) -> Outcome:
    """Links to pictures are pictures, links to folders are not followed."""
    m.goods("a")
    m.others("../elsewhere")
    (m.root / "bad").symlink_to(m.root.parent / "elsewhere")
    (m.root / "round").symlink_to(m.root)
    (m.root / "gone.png").symlink_to(m.root / "nowhere.png")
    return Right("links to folders")


def called_defective(m: Maker) -> Outcome:
    """A person's decisions of an earlier build."""
    import hashlib
    import json

    names = m.goods("good", ENOUGH + 2)
    digest = hashlib.sha256((m.root / names[3]).read_bytes()).hexdigest()
    said = [{"sha256": digest, "name": "003.png", "choice": "defective"}]
    content = {"format": "cropliq-review/1", "decisions": said}
    m.bytes("review.json", json.dumps(content).encode())
    m.good.discard(names[3])
    m.other.add(names[3])
    return Right("called them defective")


# -- refused -------------------------------------------------------------------------------------


def bad_below_good(m: Maker) -> Outcome:
    base = m.pick(("", "good/", "train/good/"))
    m.goods(base.rstrip("/"))
    bad = m.pick(BAD)
    m.others(f"{base}{bad}")
    return Refused("would be trained on as good parts")


def kinds_without_good(m: Maker) -> Outcome:
    """The casting set: `ok_front` beside `def_front`."""
    m.goods("train/ok_front")
    m.others("train/def_front")
    return Refused("def_front")


def cracks(m: Maker) -> Outcome:
    m.goods(m.pick(("Negative", "uncracked", "fine")))
    m.others(m.pick(("Cracked", "scratches", "MT_Crack", "broken parts", "damaged")))
    return Refused("would be trained on as good parts")


def bad_file(m: Maker) -> Outcome:
    m.goods("")
    name = m.pick(("NG_1.png", "cast_def_7.jpg", "12 bad.png", "7_mask.png", "ＮＧ3.png"))
    m.write(name, m.pixels())
    m.other.add(name)
    return Refused("would be trained on as good parts")


def two_good(m: Maker) -> Outcome:
    m.goods("OK")
    m.goods("normal")
    return Refused("2 folders that mean good parts")


def too_few(m: Maker) -> Outcome:
    m.goods("good", int(m.rng.integers(1, 20)))
    return Refused("at least 20")


def few_parts(m: Maker) -> Outcome:
    """Forty frames of five parts at rest."""
    for part in range(5):
        still = cv2.resize(m.pixels((6, 8)), HW[::-1], interpolation=cv2.INTER_CUBIC)
        for i in range(8):
            noisy = still.astype(np.int16) + np.rint(m.rng.normal(0, 0.5, still.shape))
            m.good_part(f"p{part}f{i}.png", np.clip(noisy, 0, 255).astype(np.uint8))
    return Refused("they show only 5 different parts")


def empty(m: Maker) -> Outcome:
    m.root.mkdir(parents=True, exist_ok=True)
    return Refused("holds no picture")


def no_pictures(m: Maker) -> Outcome:
    m.bytes("film.mp4", b"\0" * 99)
    m.bytes("table.xlsx", b"PK")
    return Refused("holds no picture")


def all_damaged(m: Maker) -> Outcome:
    for i in range(ENOUGH):
        m.bytes(f"{i}.png", b"not a picture")
    return Refused("holds 0 different readable pictures")


def only_test(m: Maker) -> Outcome:
    m.others("test/good", ENOUGH)
    m.others("test/crack", ENOUGH)
    return Refused("holds 0 different readable pictures")


def unreadable_mask(m: Maker) -> Outcome:
    m.goods("")
    m.bytes("003_mask.png", b"torn")
    return Refused("The mask .* cannot be read")


def malformed_label(m: Maker) -> Outcome:
    names = m.goods("")
    WRITERS["YOLO-OBB beside"](m.root, boxes(names), HW, "part")
    wrong = m.pick(("0 10 10 60 10 60 40 10 40", "0 .1 .2", "0 nan .1 .2 .1 .2 .3 .1 .3"))
    (m.root / "004.txt").write_text("\n" + wrong)
    return Refused(r"004\.txt, line 2")


def labels_of_defects(m: Maker) -> Outcome:
    names = m.goods("")
    tool = m.pick(tuple(WRITERS))
    WRITERS[tool](
        m.root, boxes(names[:5], is_turned=False), HW, m.pick(("defect", "NG", "Kratzer"))
    )
    return Refused("5 pictures among the good parts name bad ones")


def shared_label(m: Maker) -> Outcome:
    equal_stems(m)
    (m.root / "001.txt").write_text(yolo_line(box_of(1), HW))
    return Refused("could belong to 001")


def foreign_labels(m: Maker) -> Outcome:
    m.goods("images")
    m.bytes("images/000.txt", upright_line(box_of(0), HW).encode())
    m.bytes(
        "images/_annotations.coco.json",
        b'{"images": [], "annotations": [], "categories": [{"id": 0, "name": "screw"}]}',
    )
    return Refused("COCO, which are not read")


def labels_that_fit_none(m: Maker) -> Outcome:
    m.goods("images")
    for i in range(5):
        m.bytes(f"labels/frame_{i}.txt", yolo_line(box_of(i), HW).encode())
    return Refused("none is named like a picture")


def broken_review(m: Maker) -> Outcome:
    m.goods("good")
    m.bytes("review.json", b'{"format": "cropliq-review/9"}')
    return Refused(r"review\.json")


RIGHT: tuple[Layout, ...] = (
    plain, shifts, deep, odd_folders, odd_files, not_utf8, hashes, mvtec, btad, visa, two_sides,
    split_sides, good_and_kinds, kolektor, tiles, mixed_formats, equal_stems, depths, orientations,
    copies, damaged, labelled, roboflow_split, linked, called_defective,
)  # fmt: skip
WRONG: tuple[Layout, ...] = (
    bad_below_good, kinds_without_good, cracks, bad_file, two_good, too_few, few_parts, empty,
    no_pictures, all_damaged, only_test, unreadable_mask, malformed_label, labels_of_defects,
    shared_label, foreign_labels, labels_that_fit_none, broken_review,
)  # fmt: skip


# -- rubbish -------------------------------------------------------------------------------------


def rubbish(m: Maker) -> None:
    """Strew what lies about on people's disks; none of it changes what a build does."""
    strewn: dict[str, Callable[[], None]] = {
        "notes": lambda: m.bytes("notes.txt", b"12 parts of monday\n"),
        "readme": lambda: m.bytes("README.md", b"# parts\n"),
        "mac": lambda: m.bytes(".DS_Store", b"\0\0\0\1Bud1"),
        "mac picture": lambda: m.bytes("._000.png", b"\0\5\x16\7"),
        "windows": lambda: m.bytes("Thumbs.db", b"\xd0\xcf\x11\xe0"),
        "synology": lambda: m.others("@eaDir/000.png"),
        "bin": lambda: m.others("$RECYCLE.BIN/S-1-5"),
        "recycle": lambda: m.others("#recycle"),
        "work": lambda: m.others("part.bundle.work/detector"),
        "report": lambda: m.others("part.evaluation"),
        "hidden": lambda: m.others(".trash"),
        "video": lambda: m.bytes("line.mp4", bytes(99)),
        "sheet": lambda: m.bytes("list.csv", b"name;result\n000;OK\n"),
        "latin-1": lambda: m.bytes(os.fsdecode(b"Pr\xfcfplan.pdf"), b"%PDF"),
        "pipe": lambda: os.mkfifo(m.root / "live.txt"),
        "settings": lambda: m.bytes("camera.json", b'{"exposure_ms": 4}'),
    }
    m.root.mkdir(parents=True, exist_ok=True)
    for name in m.rng.choice(list(strewn), int(m.rng.integers(0, 5)), replace=False):
        strewn[str(name)]()


def layouts(seed: int, count: int = 80) -> Iterator[tuple[str, Layout, int]]:
    """Yield (name, layout, its own seed): every layout once, then others drawn by the seed."""
    rng = np.random.default_rng([seed, 80])
    every = [*RIGHT, *WRONG]
    chosen = every + [every[int(i)] for i in rng.integers(0, len(every), count - len(every))]
    for number, layout in enumerate(chosen):
        yield f"{number:02d} {layout.__name__}", layout, seed * 1000 + number


def make(layout: Layout, root: Path, seed: int) -> tuple[Maker, Outcome]:
    """Write one layout with rubbish round it."""
    maker = Maker(root, np.random.default_rng([seed, 81]))
    outcome = layout(maker)
    if layout is not empty:
        rubbish(maker)
    return maker, outcome


def box_of(number: int, is_turned: bool = True) -> BoxCxcywhr:
    return 14.0 + number % 4, 11.0, 12.0, 6.0, 0.3 * (number % 5) if is_turned else 0.0


def boxes(names: list[str], is_turned: bool = True) -> Boxes:
    return {name: (box_of(i, is_turned),) for i, name in enumerate(names)}


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """Return a JPEG with an orientation, as a telephone writes it."""
    ifd = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + ifd
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
