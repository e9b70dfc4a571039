"""What is known of a trained inspector: its method, settings and figures, and its graph."""

from __future__ import annotations

from dataclasses import dataclass

from edge_app.records import JsonObject
from export.networks.onnx_export import GraphRecord

_OF_THE_GRAPH = ("onnx_bytes", "opset", "map_hw", "fp32_nodes")


@dataclass(frozen=True, slots=True)
class InspectorRecord:
    """A trained inspector, for the manifest, the report and comparisons.

    Attributes:
        method: that trained it.
        settings: the method's own, JSON values by name.
        figures: what the method measured while training, JSON values by name; no times or paths.
    """

    method: str
    settings: JsonObject
    figures: JsonObject
    graph: GraphRecord

    @classmethod
    def of(cls, about: JsonObject, graph: GraphRecord) -> InspectorRecord:
        """Return the record of what a method says of itself and of its exported graph."""
        named = ("method", "settings")
        figures = {name: value for name, value in about.items() if name not in named}
        return cls(about["method"], about["settings"], figures, graph)

    @classmethod
    def from_json(cls, saved: JsonObject) -> InspectorRecord:
        """Return what `as_json` wrote.

        Raises:
            KeyError: it is no such object.
        """
        graph = GraphRecord(
            saved["onnx_bytes"],
            saved["opset"],
            (saved["map_hw"][0], saved["map_hw"][1]),
            tuple(saved["fp32_nodes"]),
        )
        return cls.of({k: v for k, v in saved.items() if k not in _OF_THE_GRAPH}, graph)

    def as_json(self) -> JsonObject:
        """Return one flat object, as workspaces and the manifest's notes have it."""
        return {
            "method": self.method,
            "settings": self.settings,
            **self.figures,
            "onnx_bytes": self.graph.onnx_bytes,
            "opset": self.graph.opset,
            "map_hw": list(self.graph.map_hw),
            "fp32_nodes": list(self.graph.fp32_nodes),
        }
