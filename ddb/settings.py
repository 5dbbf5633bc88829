"""The base of every settings class: which settings are part of a result's key, and how mistakes are reported.

    class Mine(Settings):
        steps: int = 500                                                # part of the key
        folder: Annotated[Path | None, NotHashed()] = None              # changes no number
        clip: Annotated[float | None, AddedLater(None)] = None          # results from before it keep their keys
        weights: Annotated[str, HashedAs(file_content)] = "none"        # the file's content is part of the key

A mistake is one line with the full name of the setting and the most similar known name.
"""

import difflib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from ddb.errors import DDBError


@dataclass(frozen=True)
class NotHashed:
    """Marks a setting that changes no number, such as a folder: it is neither in the key nor in the record."""


@dataclass(frozen=True)
class AddedLater:
    """Marks a setting that did not exist when results were computed; at `neutral`, it is left out of the key.

    `neutral` is the value at which the code computes what it computed before.
    """

    neutral: Any


@dataclass(frozen=True)
class HashedAs:
    """Marks a setting that names something outside the store: the key contains `function(value)` instead."""

    function: Callable[[Any], Any]


def absolute(name: str) -> str:
    """The path of a file, so that it means the same to processes in other folders."""
    return str(Path(name).expanduser().absolute())


def file_content(name: str) -> str:
    """The hash of a file's content, for `HashedAs`; the name itself if there is no such file."""
    return _digest(name, os.stat(name).st_mtime_ns) if Path(name).is_file() else name


@lru_cache
def _digest(name: str, changed: int) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


class Settings(BaseModel):
    """Immutable, typed, no unknown keys, no NaN or infinity; field descriptions become the JSON Schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    def recorded(self) -> dict[str, Any]:
        """Every setting that can change a number, as JSON values."""
        fields = type(self).model_fields.items()
        return self.model_dump(mode="json", exclude={name for name, field in fields if NotHashed() in field.metadata})

    def hashed(self) -> dict[str, Any]:
        """What the key of a result contains of these settings."""
        values = self.recorded()
        for name, field in type(self).model_fields.items():
            value, marks = getattr(self, name), {type(mark): mark for mark in field.metadata}
            if AddedLater in marks and value == marks[AddedLater].neutral:
                del values[name]
            elif HashedAs in marks:
                values[name] = marks[HashedAs].function(value)
        return values


@dataclass(frozen=True)
class Part:
    """Some of the settings of a section: all that a stage reads."""

    settings: Settings
    names: tuple[str, ...]

    def recorded(self) -> dict[str, Any]:
        return {name: value for name, value in self.settings.recorded().items() if name in self.names}

    def hashed(self) -> dict[str, Any]:
        return {name: value for name, value in self.settings.hashed().items() if name in self.names}


Model = TypeVar("Model", bound=Settings)

WHOLE, NUMBER, LIST, SECTION = ("must be " + what for what in (
    "a whole number", "a number", "a list, such as [0, 1]", "a section of settings"))  # fmt: skip
WORDS = {  # pydantic's type of a mistake -> what to say of it
    "int_type": WHOLE,
    "int_parsing": WHOLE,
    "int_from_float": WHOLE,
    "float_type": NUMBER,
    "float_parsing": NUMBER,
    "finite_number": NUMBER,
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
    "path_type": "must be a path",
    "tuple_type": LIST,
    "list_type": LIST,
    "dict_type": SECTION,
    "model_type": SECTION,
    "too_short": "must not be empty",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must have the form {pattern}",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
}


def build(model: type[Model], values: Any, where: str) -> Model:
    """`values` as `model`. Raises DDBError with one line per mistake; `where` prefixes the names of the settings."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        items = error.errors()
        if len(items) > 1:  # a list is empty without its wrong entries
            items = [item for item in items if item["type"] != "too_short"]
        lines = [_explain(model, item, where) for item in items]
        raise DDBError("\n".join(lines)) from None


def unknown(name: str, known: list[str]) -> str:
    """What to say of a name that is not in `known`: the nearest one, else all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def _explain(model: type[Settings], item: ErrorDetails, where: str) -> str:
    path = [str(part) for part in item["loc"] if part != "[key]"]
    name = ".".join([where, *path] if where else path)
    if item["type"] == "extra_forbidden":
        return f"{name}: unknown setting; {unknown(path[-1], _fields(model, path[:-1]))}"
    if item["type"] == "missing":
        return f"{name}: must be given"
    if item["type"] in WORDS:
        words = WORDS[item["type"]].format(**item.get("ctx", {}))
    else:
        words = item["msg"].removeprefix("Value error, ")
    return f"{name}: {words}" if isinstance(item["input"], dict) else f"{name}: {words} (got {item['input']!r})"


def _fields(model: type[Settings], path: list[str]) -> list[str]:
    """Names known at `path` below `model`; models may nest directly."""
    for part in path:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, Settings)):
            break
        model = inner
    return list(model.model_fields)
