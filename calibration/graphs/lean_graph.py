"""The same graph with less to do: what torch writes down one way and a runtime runs faster another.

PyTorch's exporter writes each module as it stands in Python. Six of these forms cost ONNX Runtime,
which does not rewrite them, a quarter of an inspector's time on the CPU and a tenth of a
detector's: zeros put round a picture before a convolution that could put them there itself, a sum
over a stack, a sum over channels behind a transposition that could come before it, a factor for
each pixel that is spread over three colours in every call, a map that is enlarged to a size where
it could be by a factor, and the mean of a distribution (Ultralytics' DFL) whose numbers lie apart.
Nothing else changes: learnt weights and convolutions with their names, inputs and outputs stay,
and every number comes of the same products; only the order in which a sum adds them may differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    helper,
    numpy_helper,
    shape_inference,
)
from onnx.reference import ReferenceEvaluator

Ints = NDArray[np.int64]

SIZES_ONLY = ("keep_aspect_ratio_policy", "axes")
"""What a Resize of opset 18 may say of sizes."""

MOVED = [3, 2, 0, 4, 1, 5]
"""How a density by position moves its cells: (a, b, d, n, k, k) to (n, d, a, k, b, k)."""


def lean(model: ModelProto) -> ModelProto:
    """Return a graph that computes the same with less moving of data.

    Args:
        model: valid ONNX, each node with a name. Not changed.
    """
    found = ModelProto()
    found.CopyFrom(model)
    for rewrite in (
        _fold_pads, _add_unstacked, _sum_before_moving, _spread_once, _enlarge_by_factor,
        _mean_of_neighbours,
    ):  # fmt: skip
        rewrite(_Graph(found))
        _drop_unused(found.graph)
    return found


class _Graph:
    """A graph to be rewritten, with who makes and who uses each tensor when it was looked at."""

    def __init__(self, model: ModelProto) -> None:
        self.graph = graph = model.graph
        self.opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
        self._opsets = {opset.domain: opset.version for opset in model.opset_import}
        self.nodes = list(graph.node)
        self._makers = {name: node for node in self.nodes for name in node.output}
        self._users = Counter(name for node in self.nodes for name in _needs(node))
        self._users.update(output.name for output in graph.output)
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._model = model

    def maker(self, name: str, op_type: str, users: int = 1) -> NodeProto | None:
        """Return the node that makes a tensor, if it is of this sort and so many use the tensor."""
        node = self._makers.get(name)
        fits = node is not None and node.op_type == op_type and self._users[name] == users
        return node if fits else None

    def weight(self, name: str) -> TensorProto | None:
        """Return a weight that one node alone uses."""
        return self._weights.get(name) if self._users[name] == 1 else None

    def constant(self, name: str) -> Ints | None:
        """Return the numbers of a tensor that depends on no input; None where it does."""
        wanted, needed = {name}, []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                needed.append(node)
                wanted.update(_needs(node))
        weights = [t for n, t in self._weights.items() if n in wanted]
        if wanted & {value.name for value in self.graph.input}:
            return None
        output = helper.make_tensor_value_info(name, TensorProto.INT64, None)
        made = helper.make_graph(needed[::-1], "constant", [], [output], weights)
        (value,) = ReferenceEvaluator(made, opsets=self._opsets).run(None, {})
        return np.asarray(value).reshape(-1)

    def sides(self, name: str) -> list[int]:
        """Return the lengths of a tensor's axes, 0 where one is not fixed."""
        values = shape_inference.infer_shapes(self._model).graph.value_info
        found = next((v.type.tensor_type.shape for v in values if v.name == name), None)
        return [int(axis.dim_value) for axis in found.dim] if found is not None else []

    def replace(self, old: NodeProto, new: Sequence[NodeProto]) -> None:
        """Put nodes in the place of one."""
        at = next(i for i, node in enumerate(self.graph.node) if node.name == old.name)
        kept = [_copied(node) for node in self.graph.node]
        kept[at : at + 1] = new
        del self.graph.node[:]
        self.graph.node.extend(kept)


def _fold_pads(g: _Graph) -> None:
    """Let a convolution put the zeros round its input itself."""
    for conv in g.nodes:
        pad = g.maker(conv.input[0], "Pad") if conv.op_type == "Conv" else None
        if pad is None or _text(conv, "auto_pad", "NOTSET") != "NOTSET" or not _is_zeros(g, pad):
            continue
        sides = g.constant(pad.input[1])
        if sides is None or min(sides) < 0 or len(pad.input) > 3:
            continue
        before, after = np.split(sides, 2)
        if before[:2].any() or after[:2].any():  # pictures and channels
            continue
        own = _ints(conv, "pads") or [0] * 2 * (len(before) - 2)
        more = [*before[2:], *after[2:]]
        _set(conv, "pads", [int(a + b) for a, b in zip(own, more, strict=True)])
        conv.input[0] = pad.input[0]


def _is_zeros(g: _Graph, pad: NodeProto) -> bool:
    """Tell whether it is zeros that are put round."""
    if _text(pad, "mode", "constant") != "constant":
        return False
    filled = g.constant(pad.input[2]) if len(pad.input) > 2 and pad.input[2] else np.zeros(1)
    return filled is not None and not filled.any()


def _add_unstacked(g: _Graph) -> None:
    """Add maps one after the other where they were stacked and summed over the stack."""
    for total in g.nodes:
        stack = g.maker(total.input[0], "Concat") if _is_sum_over(g, total, 0) else None
        if stack is None or _int(stack, "axis") != 0 or len(stack.input) < 2:
            continue
        layers = [g.maker(name, "Unsqueeze") for name in stack.input]
        sources = [n.input[0] for n in layers if n is not None and _is_at(g, n.input[1], 0)]
        if len(sources) != len(layers):
            continue
        so_far, adds = sources[0], []
        for i, name in enumerate(sources[1:], 1):
            out = total.output[0] if i == len(sources) - 1 else f"{total.output[0]}/{i}"
            adds.append(helper.make_node("Add", [so_far, name], [out], f"{total.name}/Add_{i}"))
            so_far = out
        g.replace(total, adds)


def _sum_before_moving(g: _Graph) -> None:
    """Sum squares over the channels where they lie, and move one map in place of all channels.

    A density by position makes (cells, d, m), views it as (a, b, d, n, k, k), moves that to
    (n, d, a, k, b, k), views it as (n, d, h, w), and sums the squares over d.
    """
    for total in g.nodes:
        square = g.maker(total.input[0], "Mul") if _is_sum_over(g, total, 1) else None
        if square is None or square.input[0] != square.input[1]:
            continue
        viewed = g.maker(square.input[0], "Reshape", users=2)  # the square takes it twice
        moved = g.maker(viewed.input[0], "Transpose") if viewed else None
        split = g.maker(moved.input[0], "Reshape") if moved else None
        if viewed is None or moved is None or split is None or _ints(moved, "perm") != MOVED:
            continue
        cells, grid = g.constant(split.input[1]), g.constant(viewed.input[1])
        if cells is None or grid is None or len(cells) != 6 or len(grid) != 4:
            continue
        a, b, d, k = (int(cells[i]) for i in (0, 1, 2, 4))
        if [*cells[3:], *grid] != [-1, k, k, -1, d, a * k, b * k]:
            continue
        g.replace(total, _moved_sum(g.graph, total, square, split.input[0], (a, b, k)))


def _moved_sum(
    graph: GraphProto, total: NodeProto, square: NodeProto, flat: str, abk: tuple[int, int, int]
) -> list[NodeProto]:
    """Return what sums (cells, d, m) over d and lays the cells out as (n, h, w)."""
    a, b, k = abk
    at = total.name
    for name, shape in ((f"{at}/cells", [a, b, -1, k, k]), (f"{at}/grid", [-1, a * k, b * k])):
        graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
    squares, sums, cells, moved = (f"{at}/{name}" for name in ("square", "sum", "split", "moved"))
    return [
        helper.make_node("Mul", [flat, flat], [squares], f"{square.name}/cells"),
        helper.make_node("ReduceSum", [squares, total.input[1]], [sums], at, keepdims=0),
        helper.make_node("Reshape", [sums, f"{at}/cells"], [cells], f"{at}/Reshape"),
        helper.make_node("Transpose", [cells], [moved], f"{at}/Transpose", perm=[2, 0, 3, 1, 4]),
        helper.make_node("Reshape", [moved, f"{at}/grid"], [total.output[0]], f"{at}/Reshape_1"),
    ]


def _spread_once(g: _Graph) -> None:
    """Store a factor (h, w, 1) of the graph's own pixels (n, h, w, 3) for its three colours."""
    coloured = {v.name for v in g.graph.input if _last_side(v.type.tensor_type) == 3}
    for node in g.nodes:
        if node.op_type != "Mul":
            continue
        for pixels, factor in (node.input, reversed(node.input)):
            cast, tensor = g.maker(pixels, "Cast"), g.weight(factor)
            if cast is None or tensor is None or cast.input[0] not in coloured:
                continue
            if len(tensor.dims) == 3 and tensor.dims[2] == 1:
                spread = np.repeat(numpy_helper.to_array(tensor), 3, axis=2)
                tensor.CopyFrom(numpy_helper.from_array(spread, tensor.name))


def _enlarge_by_factor(g: _Graph) -> None:
    """Say by which whole factor a map is enlarged, where its own shape was read to say to what.

    ONNX Runtime enlarges maps in its blocked layout by fixed factors only.
    """
    for node in g.nodes:
        if node.op_type != "Resize" or len(node.input) != 4 or node.input[1] or node.input[2]:
            continue
        sizes = g.maker(node.input[3], "Concat")
        first = g.maker(sizes.input[0], "Slice") if sizes and len(sizes.input) == 2 else None
        shape = g.maker(first.input[0], "Shape") if first else None
        if sizes is None or first is None or shape is None or shape.input[0] != node.input[0]:
            continue
        if shape.attribute or any(a.name in SIZES_ONLY for a in node.attribute):
            continue
        cut = [g.constant(name) for name in first.input[1:]]
        wanted, sides = g.constant(sizes.input[1]), g.sides(node.input[0])
        if [c.tolist() for c in cut if c is not None] != [[0], [2], [0]] or len(sides) != 4:
            continue
        if wanted is None or len(wanted) != 2 or min(wanted) < 1 or not all(sides[2:]):
            continue
        if (wanted % sides[2:]).any():
            continue
        scales = np.array([1, 1, *(wanted // sides[2:])], np.float32)
        g.graph.initializer.append(numpy_helper.from_array(scales, f"{node.name}/scales"))
        kept = [node.input[0], "", f"{node.name}/scales"]
        del node.input[:]
        node.input.extend(kept)


def _mean_of_neighbours(g: _Graph) -> None:
    """Put the numbers of each distribution beside each other before its mean is taken.

    (n, s, k, m) goes to (n, s, m, k) where it went to (n, k, s, m) for a softmax over its second
    axis and a convolution that weighs k channels into one. Before opset 13 a softmax was another.
    """
    for mean in g.nodes if g.opset >= 13 else []:
        soft = g.maker(mean.input[0], "Softmax") if mean.op_type == "Conv" else None
        moved = g.maker(soft.input[0], "Transpose") if soft and _int(soft, "axis") == 1 else None
        weight = g.weight(mean.input[1]) if moved else None
        if soft is None or moved is None or weight is None or len(mean.input) != 2:
            continue
        if _ints(moved, "perm") != [0, 2, 1, 3] or not _weighs_channels(mean, weight):
            continue
        (out,), at, beside = mean.output, mean.name, f"{mean.name}/beside"
        column = numpy_helper.to_array(weight).reshape(-1, 1)
        weight.CopyFrom(numpy_helper.from_array(column, weight.name))
        for node, name, value in ((moved, "perm", [0, 1, 3, 2]), (soft, "axis", 3)):
            changed = _copied(node)
            _set(changed, name, value)
            g.replace(node, [changed])
        back = helper.make_node("Transpose", [beside], [out], f"{at}/Transpose", perm=[0, 3, 1, 2])
        g.replace(mean, [helper.make_node("MatMul", mean.input, [beside], at), back])


def _weighs_channels(conv: NodeProto, weight: TensorProto) -> bool:
    """Tell whether a convolution makes one channel of each pixel's own, each times its number."""
    is_plain = not any(_ints(conv, "pads")) and set(_ints(conv, "strides")) <= {1}
    numbers = numpy_helper.to_array(weight).ravel()
    is_counted = np.array_equal(numbers, np.arange(len(numbers)))  # 0, 1, 2, …: nothing learnt
    return is_plain and is_counted and [weight.dims[0], *weight.dims[2:]] == [1, 1, 1]


def _last_side(tensor: TypeProto.Tensor) -> int:
    return int(tensor.shape.dim[-1].dim_value) if tensor.shape.dim else 0


def _is_sum_over(g: _Graph, node: NodeProto, axis: int) -> bool:
    """Tell whether a node sums over one axis, which goes."""
    if node.op_type != "ReduceSum" or len(node.input) < 2 or _int(node, "keepdims", 1) != 0:
        return False
    return _is_at(g, node.input[1], axis)


def _is_at(g: _Graph, axes: str, axis: int) -> bool:
    value = g.constant(axes)
    return value is not None and value.tolist() == [axis]


def _drop_unused(graph: GraphProto) -> None:
    """Remove nodes and weights that nothing needs any more."""
    wanted = {output.name for output in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(_copied(node))
            wanted.update(_needs(node))
    weights = [_copied_tensor(t) for t in graph.initializer if t.name in wanted]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(weights)


def _needs(node: NodeProto) -> list[str]:
    """Return the tensors that a node takes, those that a loop or a branch in it takes included."""
    found = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            found += [name for inner in graph.node for name in _needs(inner)]
            found += [output.name for output in graph.output]
    return found


def _copied(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy


def _copied_tensor(tensor: TensorProto) -> TensorProto:
    copy = TensorProto()
    copy.CopyFrom(tensor)
    return copy


def _ints(node: NodeProto, name: str) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == name), [])


def _int(node: NodeProto, name: str, otherwise: int = 0) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), otherwise)


def _text(node: NodeProto, name: str, otherwise: str) -> str:
    return next((a.s.decode() for a in node.attribute if a.name == name), otherwise)


def _set(node: NodeProto, name: str, value: Sequence[int] | int) -> None:
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
