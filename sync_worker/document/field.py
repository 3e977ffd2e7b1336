"""One field of a document, as declared under `[indexes.NAME.fields]`."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sync_worker.document.problem import Problem, ProblemsError
from sync_worker.document.value import INTEGER_MAX, INTEGER_MIN, FieldType

_TYPES = [str(kind) for kind in FieldType]


class FieldDeclaration(BaseModel):
    """One field of the document, or (with `omit`) one column that only the hook sees."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: FieldType | None = Field(None, description="What the value is converted to. Needed unless `omit` or `constant` is set.")
    column: str | None = Field(None, description="Column it is read from, where it is not named like the field.", min_length=1)
    omit: bool = Field(False, description="Read the column (for the hook) and leave it out of the document.")
    constant: Any = Field(None, description="A value that every document gets; no column is read.")
    lat: str | None = Field(None, description="For `geo`: column of the latitude, -90 to 90.", min_length=1)
    lng: str | None = Field(None, description="For `geo`: column of the longitude, -180 to 180.", min_length=1)
    embedder: str | None = Field(None, description="For `vector`: embedder that the vector belongs to.", min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> FieldDeclaration:
        problems = list(self._problems())
        if problems:
            raise ProblemsError([Problem((), problem) for problem in problems])
        return self

    def _problems(self) -> list[str]:
        problems: list[str] = []
        given = self.model_fields_set
        if "constant" in given:
            others = sorted(given - {"constant"})
            if others:
                problems.append(f"`constant` stands alone; remove {', '.join(f'`{name}`' for name in others)}")
            if not _is_json(self.constant):
                problems.append(
                    "`constant` must be a text, a finite number of at most 64 bits, a boolean, a list or a table of those"
                )
            return problems
        if self.omit:
            others = sorted(given - {"omit", "column", "type"})
            if others:
                problems.append(
                    f"`omit` leaves the column out of the document; remove {', '.join(f'`{name}`' for name in others)}"
                )
            return problems
        if self.type is None:
            return [f"has no `type`; set one of {', '.join(_TYPES)}, or `constant`, or `omit = true`"]
        geo = self.type is FieldType.GEO
        if geo and (self.lat is None or self.lng is None):
            problems.append("a geo field is made from two columns; set both `lat` and `lng`")
        if geo and self.column is not None:
            problems.append("a geo field is made from `lat` and `lng`; remove `column`")
        if not geo and (self.lat is not None or self.lng is not None):
            problems.append('`lat` and `lng` belong to `type = "geo"`')
        vector = self.type is FieldType.VECTOR
        if vector and self.embedder is None:
            problems.append("a vector belongs to an embedder; set `embedder` to its name in the index's settings")
        if not vector and self.embedder is not None:
            problems.append('`embedder` belongs to `type = "vector"`')
        return problems

    @property
    def is_constant(self) -> bool:
        return "constant" in self.model_fields_set

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns that this field reads, when it is called `name`."""
        if self.is_constant:
            return ()
        if self.type is FieldType.GEO and self.lat is not None and self.lng is not None:
            return (self.lat, self.lng)
        return (self.column or name,)


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json(inner) for name, inner in value.items())
    if isinstance(value, list):
        return all(_is_json(inner) for inner in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return INTEGER_MIN <= value <= INTEGER_MAX
    return isinstance(value, str)
