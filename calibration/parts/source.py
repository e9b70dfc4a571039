"""A source of good parts: one that comes to an end, read to it, with the digests of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from pathlib import Path

from edge_app.bundle.manifest import Provenance
from edge_app.cameras.picture_listing import list_pictures
from edge_app.cameras.protocol import Camera
from edge_app.cameras.source_url import parse_source_url
from edge_app.errors import DataError, EndOfStream, FrameCorrupt, FrameTimeout
from edge_app.records import Frame

READ_TIMEOUT_S = 10.0

MOST_PICTURES = 1_000_000
"""A source that shows more is taken for one that never ends."""

MOST_NAMED = 3


class GoodSource:
    """A camera of good parts that is read to its end.

    Args:
        camera: finite, or read until `enough` is said.
        most_parts: so many judged parts are enough; None: all that it shows.

    Attributes:
        corrupt: pictures that could not be read, by name or number.
    """

    def __init__(self, camera: Camera, most_parts: int | None = None) -> None:
        self.camera = camera
        self.most_parts = most_parts
        self.corrupt: list[str] = []
        self._folder = _folder_of(camera)
        self._digests: dict[str, str] = {}
        self._is_enough = False

    def enough(self, parts: int) -> None:
        """Say how many parts were judged so far: `frames` ends when they are enough."""
        self._is_enough = self.most_parts is not None and parts >= self.most_parts

    @property
    def digests(self) -> tuple[str, ...]:
        """The sha256 of every picture file shown so far, sorted; none of a source without files."""
        return tuple(sorted(set(self._digests.values())))

    def check_not_trained_on(self, provenance: Provenance) -> None:
        """Refuse files shown so far that the model was trained on.

        Raises:
            DataError: there is one.
        """
        _refuse_trained(self._digests, provenance)

    def frames(self) -> Generator[Frame, None, None]:
        """Yield every readable picture.

        Raises:
            DataError: it stops before its end, begins again, or does not end.
        """
        self.camera.open()
        try:
            for _ in range(MOST_PICTURES):
                if self._is_enough:
                    return
                try:
                    frame = self.camera.read(READ_TIMEOUT_S)
                except EndOfStream:
                    return
                except FrameTimeout as error:
                    raise DataError(f"The source stopped before its end: {error}") from error
                except FrameCorrupt as error:
                    self._note_corrupt(error)
                    continue
                self._note(frame)
                yield frame
        finally:
            self.camera.close()
        raise DataError(
            f"The source shows more than {MOST_PICTURES:,} pictures without an end. Give a folder, "
            "a video or another source that ends, or stop it with --parts N."
        )

    def _note(self, frame: Frame) -> None:
        """Remember a named picture; a name that comes again shows that nothing will end."""
        name = frame.source_name
        if name is None or self._folder is None:
            return
        if name in self._digests:
            if self.most_parts is not None:
                return
            raise DataError(
                f"The source begins again with {name} after {len(self._digests)} pictures "
                "(loop=1?): expected good parts that come to an end. Leave out loop, or stop it "
                "with --parts N."
            )
        self._digests[name] = _digest(self._folder / name)

    def _note_corrupt(self, error: FrameCorrupt) -> None:
        self.corrupt.append(error.source_name or f"picture {error.source_number or '?'}")


def check_ends(url: str, most_parts: int | None) -> None:
    """Refuse an address that never ends, before anything is read.

    Args:
        most_parts: so many parts are enough; None: only the source's own end is one.

    Raises:
        ConfigError: the address cannot be read.
        DataError: it never ends.
    """
    if most_parts is not None:
        return
    source = parse_source_url(url)
    why = _why_endless(source.scheme, source.options)
    if why:
        raise DataError(
            f"{url} never ends: {why}. Expected a folder, a video or another source of good parts "
            "that ends. Give one, or stop it with --parts N."
        )


def check_not_trained_on(url: str, provenance: Provenance) -> None:
    """Refuse a folder with pictures that the model was trained on, before anything is judged.

    Raises:
        CameraUnavailable: there is no such folder, or no picture in it.
        DataError: it holds pictures by whose digests the bundle was trained.
    """
    source = parse_source_url(url)
    if source.scheme != "folder" or not source.path:
        return
    folder = Path(source.path)
    listed = list_pictures(folder, source.flag("recursive", True))
    digests = {p.relative_to(folder).as_posix(): _digest(p) for p in listed}
    _refuse_trained(digests, provenance)


def _refuse_trained(digests: Mapping[str, str], provenance: Provenance) -> None:
    trained = frozenset(provenance.training_sha256)
    seen = [name for name, digest in digests.items() if digest in trained]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(digests)} pictures were used to train this bundle "
            f"({_some(seen)}): a model scores what it has learnt lower than new parts, so a limit "
            "from them promises too much. Give good parts that it has not seen."
        )


def _why_endless(scheme: str, options: Mapping[str, str]) -> str:
    if scheme == "folder":
        return "loop=1 begins again after the last picture" if options.get("loop") == "1" else ""
    if scheme == "video":
        return ""
    if scheme == "sim":
        return "" if "parts" in options else "the simulated line runs on without parts=N"
    return "a camera goes on showing pictures"


def _folder_of(camera: Camera) -> Path | None:
    scheme, _, path = camera.describe().url.partition(":")
    return Path(path) if scheme == "folder" else None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
