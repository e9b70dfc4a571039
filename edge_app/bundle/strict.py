"""What the models of manifest.json share: unknown keys are refused, values do not change."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _in_order(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"must be (low, high), got {pair}")
    return pair


LowHigh = Annotated[tuple[Finite, Finite], AfterValidator(_in_order)]


class StrictModel(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class GrownModel(StrictModel):
    """A model that has had keys since `cropliq-bundle/1`; where one is not used it is not written.

    So a manifest without new content has exactly the keys that release 0.1.0 knows.

    Attributes:
        SINCE_2: those keys; each has a default, which means "not used".
    """

    SINCE_2: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _omit_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        unused = {k for k in self.SINCE_2 if getattr(self, k) == fields[k].default}
        return {k: v for k, v in handler(self).items() if k not in unused}
