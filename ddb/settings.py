"""The base of every settings class: which settings are part of a result's key, and how mistakes are reported.

    class Mine(Settings):
        steps: int = 500                                                # part of the key
        folder: Annotated[Path | None, NotHashed()] = None              # changes no number
        clip: Annotated[float | None, AddedLater(None)] = None          # results from before it keep their keys
        start: Annotated[str, HashedAs(file_content)] = "none"          # the file's content is part of the key
        rate: Annotated[float, Renamed("lr")] = 0.1                     # `lr` is refused, with the new name
        sampler: Annotated[str, OneOf(SAMPLERS)] = "ancestral"          # a name in a registry

A mistake is one line with the full name of the setting and the most similar known name.
"""

import difflib
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, core_schema

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


@dataclass(frozen=True, eq=False)  # a registry has no hash
class OneOf:
    """Marks a text that must be a name in a registry."""

    known: Mapping[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return handler(schema) | {"enum": list(self.known)}

    def _check(self, name: str) -> str:
        if name not in self.known:
            raise ValueError(f"unknown value; {unknown(name, list(self.known))}")
        return name


@dataclass(frozen=True)
class Renamed:
    """Marks a setting that had another name: files with that one are refused, and keys still contain it."""

    before: str


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
        return {self.names_before().get(name, name): value for name, value in values.items()}

    @classmethod
    def names_before(cls) -> dict[str, str]:
        """{name now: name before} of the settings that were renamed."""
        marks = ((name, mark) for name, field in cls.model_fields.items() for mark in field.metadata)
        return {name: mark.before for name, mark in marks if isinstance(mark, Renamed)}


@dataclass(frozen=True)
class Part:
    """Some of the settings of a section: all that a stage reads."""

    settings: Settings
    names: tuple[str, ...]

    def recorded(self) -> dict[str, Any]:
        return {name: value for name, value in self.settings.recorded().items() if name in self.names}

    def hashed(self) -> dict[str, Any]:
        before = self.settings.names_before()
        names = {before.get(name, name) for name in self.names}
        return {name: value for name, value in self.settings.hashed().items() if name in names}


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
    "model_attributes_type": SECTION,
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
        # pydantic has one item for each member of a union.
        lines = [_explain(model, list(same), where) for _, same in groupby(items, lambda item: _walk(model, item)[0])]
        raise DDBError("\n".join(lines)) from None


def unknown(name: str, known: list[str]) -> str:
    """What to say of a name that is not in `known`: the nearest one, else all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"


def _explain(model: type[Settings], items: list[ErrorDetails], where: str) -> str:
    """The line for the items of one setting."""
    item = items[0]
    path, section = _walk(model, item)
    path = [part for part in path if part != "[key]"]
    name = ".".join([where, *path] if where else path)
    if item["type"] == "extra_forbidden":
        for now, before in section.names_before().items():
            if before == path[-1]:
                return f"{name}: renamed to {now}"
        return f"{name}: unknown setting; {unknown(path[-1], list(section.model_fields))}"
    context = item.get("ctx", {})
    if item["type"] == "union_tag_invalid":
        known = [each.strip(" '") for each in context["expected_tags"].split(",")]
        tag, kind = context["tag"], context["discriminator"].strip("'")
        return f"{name}.{kind}: {tag!r} is unknown; {unknown(tag, known)}"
    if item["type"] == "missing":
        return f"{name}: must be given"
    first, *others = map(_words, items)
    words = " or ".join([first, *(each.removeprefix("must be ") for each in others)])
    return f"{name}: {words}" if isinstance(item["input"], dict) else f"{name}: {words} (got {item['input']!r})"


def _words(item: ErrorDetails) -> str:
    if item["type"] in WORDS:
        return WORDS[item["type"]].format(**item.get("ctx", {}))
    return item["msg"].removeprefix("Value error, ")


def _walk(model: type[Settings], item: ErrorDetails) -> tuple[list[str], type[Settings]]:
    """The item's path without the tags that pydantic adds for a union, and the settings that its last name is among."""
    names, section, inner = [], model, model
    for part in map(str, item["loc"]):
        if isinstance(inner, dict):
            inner = inner[part]
            continue
        if get_origin(inner) in (Union, UnionType) and len({*get_args(inner)} - {NoneType}) > 1:
            continue
        names.append(part)
        if not (isinstance(inner, type) and issubclass(inner, Settings)):
            continue
        section = inner
        field = section.model_fields.get(part)
        inner = field and field.annotation
        if field and field.discriminator:
            inner = {each.model_fields[field.discriminator].default: each for each in get_args(field.annotation)}
    return names, section
