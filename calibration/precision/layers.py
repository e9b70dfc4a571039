"""Which convolutions can be int8: the most fragile stay in fp16, as few as measurement allows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

Damage = Callable[[Collection[str]], float]
"""Damage, >= 0, of having these nodes in int8 and all others as they are."""


@dataclass(frozen=True, slots=True)
class LayerChoice:
    """The outcome.

    Attributes:
        int8: nodes to quantise, in graph order.
        half: nodes left in fp16, the most fragile first.
        damage: of the chosen set.
    """

    int8: tuple[str, ...]
    half: tuple[str, ...]
    damage: float


def choose_layers(
    nodes: Sequence[str],
    alone: Damage,
    together: Damage,
    limit: float,
    progress: Callable[[float], None],
) -> LayerChoice:
    """Return the largest set of int8 nodes whose damage stays within a limit.

    Each node's damage alone gives an order; nodes are then left in fp16 from the top of it. Their
    number is found by bisection, so the damage is taken to fall as more are left.

    Args:
        nodes: candidates, in graph order.
        alone: damage by which nodes are ordered, asked for one node at a time.
        together: damage of a whole set; only this is held against `limit`.
        limit: most damage allowed.
        progress: called with the share done, 0..1.
    """
    fragile = sorted(_ranked(nodes, alone, progress), reverse=True)
    order = [node for _, node in fragile]
    few, many = 0, len(order)
    damage_of = {many: together(())}
    while few < many:
        middle = (few + many) // 2
        damage_of[middle] = together(set(order[middle:]))
        if damage_of[middle] <= limit:
            many = middle
        else:
            few = middle + 1
    progress(1.0)
    half = tuple(order[:many])
    return LayerChoice(tuple(n for n in nodes if n not in half), half, damage_of[many])


def _ranked(
    nodes: Sequence[str], alone: Damage, progress: Callable[[float], None]
) -> list[tuple[float, str]]:
    ranked = []
    for index, node in enumerate(nodes):
        ranked.append((alone({node}), node))
        progress((index + 1) / (len(nodes) + 1))
    return ranked
