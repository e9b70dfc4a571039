"""Many products' builds as tasks of a Ray cluster (extra `ray`).

The cluster is the one that RAY_ADDRESS names, whose machines must see the same folders and have
this project installed, or one that is started here for the command.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from edge_app.errors import DataError
from export.build_many.run import Order, Outcome, carry_out

KNOCK_S = 10.0
"""For an answer from the cluster's address; in a plant's network it comes in milliseconds."""


def by_ray(orders: Sequence[Order], jobs: int) -> Iterator[Outcome]:
    """Yield outcomes as they come; a task that dies with its machine is a failed build.

    Args:
        jobs: builds at once in a cluster started here; an existing one runs as many as fit.

    Raises:
        DataError: Ray is not installed, cannot be reached, or none of its machines has what a build
            needs.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # reports to nobody
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise DataError(
            "--engine ray needs Ray: pip install 'cropliq-edge[ray]', or take --engine processes."
        ) from error
    _connect(ray, sum(order.threads for order in orders[:1]) * jobs)
    try:
        yield from _outcomes(ray, orders)
    finally:
        ray.shutdown()


def needs(order: Order, machines: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the resources of an order's task: its threads, and a GPU per process that uses one.

    A build of more threads than any machine has still fits on the largest.

    Args:
        machines: each one's resources as Ray names them, "CPU" and "GPU".

    Raises:
        DataError: no machine has so many GPUs: Ray would wait for one for ever.
    """
    options = dict(zip(order.arguments, order.arguments[1:], strict=False))
    is_on_gpu = options.get("--device", "cpu").startswith("cuda")
    gpus = int(options.get("--processes", "1")) if is_on_gpu else 0
    most_gpus = max((m.get("GPU", 0) for m in machines), default=0)
    if gpus > most_gpus:
        raise DataError(
            f"{order.product} needs {gpus} GPUs on one machine of the Ray cluster, the best has "
            f"{most_gpus:g}: take --device cpu, or fewer --processes."
        )
    most_cpus = max((m.get("CPU", 0) for m in machines), default=1)
    return {"num_cpus": min(order.threads, max(1, most_cpus)), "num_gpus": gpus}


def _connect(ray: Any, processors: int) -> None:
    address = os.environ.get("RAY_ADDRESS")
    own = {} if address else {"num_cpus": processors, "include_dashboard": False}
    try:
        if address:
            _knock(address)
        ray.init(log_to_driver=False, **own)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        what = f"The Ray cluster at {address} (RAY_ADDRESS)" if address else "A local Ray cluster"
        raise DataError(
            f"{what} cannot be used: {why}. Check the address, and RAY_AUTH_MODE and the token "
            "where the cluster asks for one; or take --engine processes."
        ) from error


def _knock(address: str) -> None:
    """Refuse an address where nobody answers: Ray itself goes on trying for minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():  # not "auto" or "local"
        socket.create_connection((host, int(port)), KNOCK_S).close()


def _outcomes(ray: Any, orders: Sequence[Order]) -> Iterator[Outcome]:
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    task = ray.remote(carry_out)
    waiting = {task.options(**needs(order, machines)).remote(order): order for order in orders}
    while waiting:
        ready, _ = ray.wait(list(waiting))
        for reference in ready:
            yield _outcome(ray, reference, waiting.pop(reference))


def _outcome(ray: Any, reference: Any, order: Order) -> Outcome:
    """Return what became of an order whose task has ended, well or not."""
    try:
        outcome: Outcome = ray.get(reference)
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        why = lines[-1].strip() if lines else type(error).__name__
        return Outcome(order.product, False, f"its Ray task ended: {why}", 0.0)
    return outcome
