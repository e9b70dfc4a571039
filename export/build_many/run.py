"""Many products' bundles with one command: each built by a process of its own, several at once.

A build that fails or crashes takes no other along; run again, every product goes on where it was.
The builds run in processes of this machine, or as tasks of a Ray cluster (`ray_engine.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_app.errors import DataError
from edge_app.records import JsonObject
from export.build_many.outcome import BuildOutcome, read_outcome
from export.data.layouts import has_good_folder
from export.folder_lock import lock_folder
from export.workspace import OnStep

Engine = Literal["processes", "ray"]


@dataclass(frozen=True, slots=True)
class Order:
    """One product to build.

    Attributes:
        arguments: of `edge-export`, without the program's name.
        log: all that the build prints goes there.
        outcome: the build writes there what became of it.
        threads: that its libraries may take.
    """

    product: str
    arguments: tuple[str, ...]
    log: str
    outcome: str
    threads: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order.

    Attributes:
        is_built: its bundle was written.
        message: the bundle and its digest, or the reason.
        weakness: the bundle misses most clearly visible defects, in a sentence; None where it does
            not, or where that was accepted.
    """

    product: str
    is_built: bool
    message: str
    seconds: float
    weakness: str | None = None

    def as_json(self) -> JsonObject:
        """Return the object of products.json."""
        return {
            "product": self.product,
            "is_built": self.is_built,
            "told": self.message,
            "seconds": self.seconds,
            "weakness": self.weakness,
        }


def product_folders(folder: Path) -> list[Path]:
    """Return the sub-folders of `folder` that hold pictures of good parts, sorted by name.

    Raises:
        DataError: there are none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder. Expected one sub-folder per product.")
    found = [p for p in sorted(folder.iterdir()) if p.is_dir() and has_good_folder(p)]
    if not found:
        raise DataError(
            f"{folder} holds no products: expected sub-folders with train/good or good in them "
            "(for a single product: edge-export build --data)."
        )
    return found


def orders_for(
    folders: Sequence[Path], out: Path, build_arguments: Sequence[str], jobs: int
) -> list[Order]:
    """Return one order per product: OUT/NAME.bundle, OUT/NAME.log and OUT/NAME.outcome.json."""
    threads = max(1, (os.cpu_count() or 1) // max(1, jobs))
    return [_order(folder, out.absolute(), build_arguments, threads) for folder in folders]


def _order(folder: Path, out: Path, build_arguments: Sequence[str], threads: int) -> Order:
    outcome = str(out / f"{folder.name}.outcome.json")
    arguments = (
        *("build", "--data", str(folder.absolute()), "--product", folder.name),
        *("--out", str(out / f"{folder.name}.bundle"), "--outcome", outcome),
        *build_arguments,
    )
    return Order(folder.name, arguments, str(out / f"{folder.name}.log"), outcome, threads)


def carry_out(order: Order) -> Outcome:
    """Build one product in a process of its own and return what became of it."""
    started = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": str(order.threads)}
    Path(order.outcome).unlink(missing_ok=True)
    with Path(order.log).open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, "-m", "export.cli.main", *order.arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        )
    found = read_outcome(Path(order.outcome))
    weak = found.weakness if found is not None and done.returncode != 0 else None
    is_done = done.returncode == 0 or (done.returncode == 1 and weak is not None)
    is_built = is_done and found is not None and found.bundle is not None
    message = _message(order, found, done.returncode)
    seconds = round(time.monotonic() - started, 1)
    return Outcome(order.product, is_built, message, seconds, weak)


def _message(order: Order, found: BuildOutcome | None, code: int) -> str:
    if found is None:
        return f"ended with code {code} and without an outcome: see {order.log}"
    if found.error is not None:
        return f"edge-export: {found.error}"
    return f"{found.bundle}  sha256 {found.sha256}"


def build_many(
    orders: Sequence[Order], out: Path, jobs: int, engine: Engine, on_step: OnStep
) -> list[Outcome]:
    """Carry out all orders, `jobs` at once; write products.json; return outcomes by product name.

    Args:
        on_step: called with (product, what became of it, share of all products done).

    Raises:
        DataError: Ray is asked for and not installed, or its cluster cannot be used.
    """
    lock = lock_folder(out)  # two runs would write each other's logs and outcomes
    if engine == "ray":
        from export.build_many.ray_engine import by_ray as run
    else:
        run = _by_processes
    outcomes: list[Outcome] = []
    for outcome in run(orders, jobs):
        outcomes.append(outcome)
        became = "built" if outcome.is_built else f"failed: {outcome.message}"
        became = f"built, but weak: {outcome.weakness}" if outcome.weakness else became
        on_step(outcome.product, became, len(outcomes) / len(orders))
        ordered = sorted(outcomes, key=lambda o: o.product)
        text = json.dumps([o.as_json() for o in ordered], indent=1)
        (out / "products.json").write_text(text + "\n", encoding="utf-8")
    del lock
    return sorted(outcomes, key=lambda o: o.product)


def _by_processes(orders: Sequence[Order], jobs: int) -> Iterator[Outcome]:
    """Yield outcomes as they come; a thread each waits for its process."""
    with ThreadPoolExecutor(jobs) as pool:
        for future in as_completed([pool.submit(carry_out, order) for order in orders]):
            yield future.result()
