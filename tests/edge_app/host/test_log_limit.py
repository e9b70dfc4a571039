"""Log lines limited per cause: the first are written, the rest are counted, and nothing hides."""

from __future__ import annotations

import logging
import random

import pytest

from edge_app.host.log_limit import LINES, MAX_CAUSES, PERIOD_S, LogLimit, limit_handler


class Kept(logging.Handler):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def log() -> tuple[logging.Logger, Kept, LogLimit, Clock]:
    logger, kept, clock = logging.Logger("flood"), Kept(), Clock()
    limit = limit_handler(kept)
    limit._clock_s = clock
    logger.addHandler(kept)
    return logger, kept, limit, clock


def test_a_flood_becomes_a_few_lines_and_a_count(
    log: tuple[logging.Logger, Kept, LogLimit, Clock],
) -> None:
    """407 lines of one cause: five are written, then one says "402 more like this"."""
    logger, kept, limit, clock = log
    for number in range(407):
        logger.warning("request %d refused", number)
    assert kept.lines == [f"request {n} refused" for n in range(LINES)]
    clock.now_s = PERIOD_S - 1
    limit.report()
    assert len(kept.lines) == LINES
    clock.now_s = PERIOD_S
    limit.report()
    assert kept.lines[LINES:] == ["request 406 refused (403 more like this)"]
    limit.report()
    assert len(kept.lines) == LINES + 1
    logger.warning("request %d refused", 1)
    assert kept.lines[-1] == "request 1 refused"


def test_another_cause_is_not_hidden(log: tuple[logging.Logger, Kept, LogLimit, Clock]) -> None:
    """Other words, another level or another logger are causes of their own."""
    logger, kept, _, _ = log
    for _ in range(100):
        logger.warning("noise")
    logger.error("noise")
    logger.warning("the disk is full")
    assert kept.lines[LINES:] == ["noise", "the disk is full"]


@pytest.mark.parametrize("seed", range(40))
def test_every_line_is_written_or_counted(seed: int) -> None:
    """Whatever the texts, more than there is room for among them: lines written and lines counted
    add up, and the memory is bounded."""
    chance = random.Random(seed)
    most = chance.choice((1, 10, 1000))
    causes = [chance.randrange(most) for _ in range(chance.randrange(400))]
    logger, kept, clock = logging.Logger("many"), Kept(), Clock()
    limit = limit_handler(kept)
    limit._clock_s = clock
    logger.addHandler(kept)
    for cause in causes:
        logger.info(f"text {cause}")
    assert len(limit._causes) <= MAX_CAUSES + 1
    written = len(kept.lines)
    clock.now_s = 2 * PERIOD_S
    limit.report()
    counted = sum(int(line.rsplit("(", 1)[1].split()[0]) for line in kept.lines[written:])
    assert written + counted == len(causes)
