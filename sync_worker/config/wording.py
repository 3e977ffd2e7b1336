"""Pydantic's findings in an operator's words."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from sync_worker.config.model import secret_keys
from sync_worker.document.field import FieldDeclaration
from sync_worker.document.problem import Problem, ProblemsError, suggestion
from sync_worker.document.value import FieldType

_KINDS = {
    "string_type": "must be a text",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "tuple_type": "must be a text or a list of texts",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def problems_of(error: ValidationError, model: type[BaseModel], path: tuple[str, ...]) -> list[Problem]:
    """Every finding, with the path from the top of the configuration. Inputs are never quoted: one may be a secret."""
    found: list[Problem] = []
    for item in error.errors(include_input=False, include_url=False):
        at = tuple(str(part) for part in item["loc"])
        context: dict[str, Any] = item.get("ctx", {})
        cause = context.get("error")
        if isinstance(cause, ProblemsError):
            found += [Problem((*path, *at, *problem.path), problem.what) for problem in cause.problems]
        else:
            found.append(Problem((*path, *at), _what(item["type"], item["msg"], context, model, at)))
    return found


def _what(kind: str, message: str, context: dict[str, Any], model: type[BaseModel], at: tuple[str, ...]) -> str:
    owner = _owner(model, at)
    if kind == "extra_forbidden":
        known = [name for name in owner.model_fields if name != "name" or "table" not in owner.model_fields]
        return f"unknown key; {suggestion(at[-1], [*known, *(f'{key}_file' for key in secret_keys(owner))])}"
    if context.get("class_name") == FieldDeclaration.__name__:
        return f'must be a type\'s name in quotes ({", ".join(FieldType)}), or a table such as {{ type = "text" }}'
    if kind == "missing":
        field = owner.model_fields.get(at[-1])
        secret = f" (or `{at[-1]}_file`)" if at[-1] in secret_keys(owner) else ""
        return f"is missing{secret}: {field.description if field is not None else ''}".rstrip(": ")
    if kind == "enum":
        expected = str(context.get("expected", "")).replace("'", "`")
        return f"must be one of {expected.replace(' or ', ', ')}"
    if kind == "value_error":
        return str(context.get("error", message))
    bounds = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    bound = next((f"must be {word} {context[name]}" for name, word in bounds.items() if name in context), None)
    if bound is not None:
        return bound
    if kind == "string_pattern_mismatch":
        return f"must match {context.get('pattern')}"
    return _KINDS.get(kind, message[:1].lower() + message[1:])


def _owner(model: type[BaseModel], at: tuple[str, ...]) -> type[BaseModel]:
    """The model that the last key of the path belongs to."""
    owner: type[BaseModel] = model
    for part in at[:-1]:
        field = owner.model_fields.get(part)
        inner = _model_in(field.annotation) if field is not None else None
        owner = inner or owner
    return owner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
