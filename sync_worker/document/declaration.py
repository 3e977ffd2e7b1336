"""What an index shall hold, as declared under `[indexes.NAME]`. One declaration serves the stream and every operator's verb."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sync_worker.document.field import FieldDeclaration
from sync_worker.document.hook import NAME as HOOK_NAME
from sync_worker.document.predicate import Predicate, compile_predicate
from sync_worker.document.problem import Problem, ProblemsError, suggestion
from sync_worker.document.refuse import VectorRules
from sync_worker.document.value import FieldType
from sync_worker.errors import ConfigurationError

KNOWN_SETTINGS = frozenset(
    (
        "chat",
        "dictionary",
        "displayedAttributes",
        "distinctAttribute",
        "embedders",
        "facetSearch",
        "faceting",
        "filterableAttributes",
        "foreignKeys",
        "localizedAttributes",
        "nonSeparatorTokens",
        "pagination",
        "prefixSearch",
        "proximityPrecision",
        "rankingRules",
        "searchCutoffMs",
        "searchableAttributes",
        "separatorTokens",
        "sortableAttributes",
        "stopWords",
        "synonyms",
        "typoTolerance",
        "vectorStore",
    )
)
"""Top-level keys of Meilisearch 1.50's settings."""

RESERVED_FIELDS = frozenset(("_geo", "_geojson", "_vectors"))
"""Names that Meilisearch reads itself."""

_INDEX_UID = re.compile(r"[A-Za-z0-9_-]{1,400}").fullmatch
_TABLE = re.compile(r"[^\s.]+\.[^\s.]+").fullmatch


class Truncate(StrEnum):
    """What a TRUNCATE of the table does to the index."""

    CLEAR = "clear"
    IGNORE = "ignore"
    HOLD = "hold"


def _columns_of_key(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _check_key(key: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(key)) != len(key) or "" in key:
        raise ValueError("names a column twice, or an empty one")
    return key


def _check_uid(uid: str) -> str:
    if _INDEX_UID(uid) is None:
        raise ValueError(f"`{uid}` is no index uid; use 1 to 400 of A-Z a-z 0-9 _ -")
    return uid


def require_declared(names: Iterable[str], declared: Collection[str]) -> None:
    """Raises ConfigurationError for indexes that nobody declared, all at once: one wording for every verb."""
    if unknown := sorted(set(names) - set(declared)):
        raise ConfigurationError(
            [f"index {name}: not declared" for name in unknown], remedy=f"declared are: {', '.join(sorted(declared))}"
        )


def check_table(table: str) -> str:
    """Raises ValueError for what is not `schema.table`, or has a name that the connector's list of tables can't carry."""
    if _TABLE(table) is None:
        if re.fullmatch(r"[^\s.]+", table):
            raise ValueError(f"`{table}` is not `schema.table`; write for instance `public.{table}`")
        raise ValueError(
            f"`{table}` is not `schema.table` with no space and no further dot in either name; Debezium's list of tables and "
            "the names of its topics can't carry others, so such a table can't be streamed before it has another name"
        )
    return table


def _check_hook(hook: str | None) -> str | None:
    if hook is not None and HOOK_NAME(hook) is None:
        raise ValueError(f"`{hook}` is not of the form `module:function`")
    return hook


def _check_where(where: str | None) -> str | None:
    if where is not None:
        compile_predicate(where)
    return where


def _check_settings(settings: dict[str, Any]) -> dict[str, Any]:
    unknown = [key for key in settings if key not in KNOWN_SETTINGS]
    if unknown:
        raise ProblemsError(
            [Problem((key,), f"unknown setting of Meilisearch; {suggestion(key, KNOWN_SETTINGS)}") for key in unknown]
        )
    return settings


def _check_names(fields: dict[str, FieldDeclaration]) -> dict[str, FieldDeclaration]:
    problems = []
    for name, field in fields.items():
        geo = field.type is FieldType.GEO and not field.omit
        if not name:
            problems.append(Problem((), "a field has an empty name"))
        elif geo != (name == "_geo"):
            problems.append(Problem((name,), "Meilisearch reads coordinates from a field called `_geo`: name the geo field so"))
        elif name in RESERVED_FIELDS and name != "_geo":
            problems.append(Problem((name,), "is a name that Meilisearch reads itself; rename the field, or make it in a hook"))
    if problems:
        raise ProblemsError(problems)
    return fields


class IndexDeclaration(BaseModel):
    """One index: which table it shows, how a row becomes a document, and the index's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field("", exclude=True, json_schema_extra={"internal": True})
    uid: Annotated[str, AfterValidator(_check_uid)] = Field("", description="Uid of the index in Meilisearch. Default: NAME.")
    meilisearch: str = Field(
        "default", description="Which Meilisearch: `default` is `[meilisearch]`, NAME is `[meilisearch.NAME]`."
    )
    table: Annotated[str, AfterValidator(check_table)] = Field(
        description="Table that the index shows, as `schema.table`. One table may feed several indexes."
    )
    primary_key: Annotated[tuple[str, ...], BeforeValidator(_columns_of_key), AfterValidator(_check_key)] = Field(
        description="The table's primary key: a column, or a list of columns in a fixed order. Becomes the document's id.",
        min_length=1,
    )
    deferrable_key: bool = Field(
        False,
        description="Whether the table's primary key is DEFERRABLE. A transaction may then insert a row before it deletes the "
        "old one of that key, so every delete asks the source whether another row bears the key. `init` writes it.",
    )
    id_field: str = Field("", description="Field that holds the id. Default: the key's column, or `id` where it has several.")
    fields: Annotated[dict[str, FieldDeclaration], AfterValidator(_check_names)] = Field(
        default_factory=dict,
        description='Field of the document → type ("integer") or table ({type = "text", column = "title_en"}). What is not '
        "declared is not indexed.",
    )
    hook: Annotated[str | None, AfterValidator(_check_hook)] = Field(
        None,
        description="`module:function`, called as function(document, row) after the declared fields; returns the document, "
        "or None to remove it. The configuration file's directory is importable.",
    )
    where: Annotated[str | None, AfterValidator(_check_where)] = Field(
        None, description="SQL condition over the row's columns. Rows for which it is not true are removed from the index."
    )
    soft_delete: str | None = Field(
        None, description="Column that marks a row as deleted when it is neither null nor false.", min_length=1
    )
    settings: Annotated[dict[str, Any], AfterValidator(_check_settings)] = Field(
        default_factory=dict, description="The index's complete Meilisearch settings, with Meilisearch's own names."
    )
    truncate: Truncate = Field(
        Truncate.CLEAR,
        description="What a TRUNCATE of the table does: `clear` the index, `ignore` it, or `hold` until an operator has decided.",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        filled = dict(value)
        filled.setdefault("uid", filled.get("name", ""))
        if not filled.get("id_field"):
            key = _columns_of_key(filled.get("primary_key"))
            filled["id_field"] = key[0] if isinstance(key, tuple) and len(key) == 1 and isinstance(key[0], str) else "id"
        return filled

    @model_validator(mode="after")
    def _consistent(self) -> IndexDeclaration:
        problems = self._field_problems()
        if not self.fields and self.hook is None:
            problems.append(
                Problem(("fields",), "declares nothing: list the columns to index, or set a hook that makes the document")
            )
        if problems:
            raise ProblemsError(problems)
        return self

    def _field_problems(self) -> list[Problem]:
        problems = []
        embedders: dict[str, str] = {}
        for name, field in self.fields.items():
            path = ("fields", name)
            if name == self.id_field and not field.omit and field.columns(name) != self.primary_key:
                problems.append(
                    Problem(path, "holds the document's id; rename this field, or set `id_field` to another name for the id")
                )
            if field.embedder is not None:
                if field.embedder in embedders:
                    problems.append(
                        Problem(path, f"belongs to the same embedder as `{embedders[field.embedder]}`; each takes one vector")
                    )
                embedders[field.embedder] = name
                declared = self._embedders()
                if field.embedder not in declared:
                    what = f"embedder `{field.embedder}` is not in `settings.embedders`"
                    problems.append(Problem(path, f"{what}; {suggestion(field.embedder, declared)}" if declared else what))
        for embedder in sorted(self.vector_rules.provided - embedders.keys()) if self.hook is None else ():
            problems.append(
                Problem(
                    ("settings", "embedders", embedder),
                    "takes vectors from the documents, and no field makes them: each new document would fail with its whole "
                    f'batch; add a field {{type = "vector", embedder = "{embedder}"}}',
                )
            )
        return problems

    @cached_property
    def predicate(self) -> Predicate | None:
        return None if self.where is None else compile_predicate(self.where)

    @cached_property
    def columns(self) -> frozenset[str]:
        """Every column that the projection reads, without the primary key's (those come with the key)."""
        needed = {column for name, field in self.fields.items() for column in field.columns(name)}
        if self.predicate is not None:
            needed |= self.predicate.columns
        if self.soft_delete is not None:
            needed.add(self.soft_delete)
        return frozenset(needed)

    @cached_property
    def vector_rules(self) -> VectorRules:
        """What the declared settings say about vectors."""
        embedders = {name: embedder for name, embedder in self._embedders().items() if isinstance(embedder, dict)}
        return VectorRules(
            {name: embedder["dimensions"] for name, embedder in embedders.items() if isinstance(embedder.get("dimensions"), int)},
            frozenset(name for name, embedder in embedders.items() if embedder.get("source") == "userProvided"),
        )

    def _embedders(self) -> dict[str, Any]:
        declared = self.settings.get("embedders")
        return declared if isinstance(declared, dict) else {}
