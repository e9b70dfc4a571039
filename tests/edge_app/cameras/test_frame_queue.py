"""What happens when the queue is full, mode by mode."""

from __future__ import annotations

import threading
import time

import numpy as np

from edge_app.cameras.frame_queue import FrameQueue, Unjudged, unjudged_of
from edge_app.records import Frame


def frame(number: int) -> Frame:
    return Frame("cam1", number, np.zeros((2, 3, 3), np.uint8), number * 10, f"t{number}", number)


def torn(number: int) -> Unjudged:
    return unjudged_of(frame(number), "corrupt_picture", "")


def drain(queue: FrameQueue) -> list[tuple[str, int | None]]:
    taken = []
    while entry := queue.take(0):
        kind = entry.item.reason if isinstance(entry.item, Unjudged) else "frame"
        taken.append((kind, entry.item.source_number))
    return taken


def test_live_keeps_the_newest() -> None:
    """Five frames in, the fifth comes out, four were replaced; depth does not matter."""
    queue = FrameQueue("live", depth=8)
    outcomes = [queue.offer(frame(n), 0, 0) for n in range(1, 6)]
    assert outcomes == ["queued", "replaced", "replaced", "replaced", "replaced"]
    assert drain(queue) == [("frame", 5)]


def test_triggered_refuses_with_a_record_in_order() -> None:
    """With room for two, parts 3 and 4 come out unjudged, in their place; 5 fits again."""
    queue = FrameQueue("triggered", depth=2)
    assert [queue.offer(frame(n), 0, 0) for n in range(1, 5)] == ["queued"] * 2 + ["refused"] * 2
    first = queue.take(0)
    assert first is not None
    assert first.item.source_number == 1
    assert queue.offer(frame(5), 0, 0) == "queued"
    assert drain(queue) == [("frame", 2), ("overload", 3), ("overload", 4), ("frame", 5)]


def test_file_writer_waits_for_room() -> None:
    """A full queue is told as "full"; a reader that takes one lets the waiting writer in."""
    queue = FrameQueue("file", depth=1)
    assert queue.offer(frame(1), 0, 0) == "queued"
    assert queue.offer(frame(2), 0, 0.01) == "full"
    reader = threading.Timer(0.05, queue.take, args=(1.0,))
    reader.start()
    assert queue.offer(frame(2), 0, 5.0) == "queued"
    reader.join()
    assert drain(queue) == [("frame", 2)]


def test_unjudged_triggers_take_no_room() -> None:
    """A torn trigger's record neither fills the queue nor is refused."""
    queue = FrameQueue("triggered", depth=1)
    for number in range(1, 4):
        assert queue.offer(torn(number), 0, 0) == "queued"
    assert len(queue) == 0
    assert queue.offer(frame(4), 0, 0) == "queued"
    assert queue.offer(torn(5), 0, 0) == "queued"
    assert (len(queue), queue.is_drained()) == (1, False)


def test_folder_of_corrupt_files_waits_for_the_line() -> None:
    """In file mode records wait for room too: a looping folder of bad files fills no memory."""
    queue = FrameQueue("file", depth=2)
    outcomes = [queue.offer(torn(number), 0, 0) for number in range(1, 4)]
    assert outcomes == ["queued", "queued", "full"]


def test_closing_wakes_the_reader_and_keeps_what_waits() -> None:
    """A reader does not sit out its time-out once nothing can come any more."""
    queue = FrameQueue("file", depth=2)
    queue.offer(frame(1), 0, 0)
    closer = threading.Timer(0.05, queue.close)
    closer.start()
    assert drain(queue) == [("frame", 1)]
    began_s = time.monotonic()
    assert queue.take(30.0) is None
    assert time.monotonic() - began_s < 5
    closer.join()


def test_unjudged_record_keeps_everything_but_the_pixels() -> None:
    """Who, when, which part and the frame's size survive."""
    record = unjudged_of(frame(7), "overload", "8 parts were already waiting")
    assert record == Unjudged(
        "cam1", 7, "t7", 70, "overload", "8 parts were already waiting", None, 7, (2, 3)
    )
