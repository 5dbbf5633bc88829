"""The base of every settings class, and how a mistake is told: one line, the full name, the nearest known one."""

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb.errors import DDBError


class Settings(BaseModel):
    """Immutable, typed, no unknown keys, no NaN or infinity; field descriptions become the JSON Schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


Model = TypeVar("Model", bound=Settings)


def build(model: type[Model], values: Any, where: str) -> Model:
    """`values` as `model`. Raises DDBError with one line per mistake; `where` prefixes the names of the settings."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_explain(model, item, where) for item in error.errors()]
        raise DDBError("\n".join(lines)) from None


def unknown(name: str, known: list[str]) -> str:
    """What to say of a name that is not in `known`: the nearest one, else all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def _explain(model: type[Settings], item: dict, where: str) -> str:
    path = [str(part) for part in item["loc"]]
    name = ".".join([where, *path] if where else path)
    if item["type"] == "extra_forbidden":
        return f"{name}: unknown setting; {unknown(path[-1], _fields(model, path[:-1]))}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{name}: {message[0].lower()}{message[1:]} (got {item['input']!r})"


def _fields(model: type[Settings], path: list[str]) -> list[str]:
    """Names known at `path` below `model`; models may nest directly."""
    for part in path:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, Settings)):
            break
        model = inner
    return list(model.model_fields)
