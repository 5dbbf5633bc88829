"""JSON Schema of a configuration file, for editors: `ddb schema > experiment.schema.json`."""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from ddb.experiment.config import OVERRIDABLE, ExperimentConfig
from ddb.experiment.sweep import SweepSettings
from ddb.recipes import METHODS


def _row() -> dict[str, Any]:
    """Of a method's section: it may have the settings of any method."""
    properties: dict[str, Any] = {name: {} for name in ("method", *OVERRIDABLE)}
    for method in METHODS.values():
        properties |= method.settings_class.model_json_schema()["properties"]
    return {"anyOf": [{"type": "object", "properties": properties, "additionalProperties": False}, {"type": "null"}]}


class ConfigurationFile(ExperimentConfig):
    """A file: an experiment, or what it changes in its base; what it varies or searches."""

    methods: dict[str, Annotated[dict[str, Any] | None, WithJsonSchema(_row())]] = Field(
        default={}, description="row label -> settings; the rows of the base where there are none"
    )
    base: str | None = Field(default=None, description="a file, or the name of one in configs/ or configs/benchmarks/")
    vary: dict[str, Any] | list[dict[str, Any]] | None = Field(
        default=None, description="setting: [values]; every combination"
    )
    preset: str | None = Field(default=None, description="one of `presets`")
    presets: dict[str, dict[str, Any]] | None = Field(default=None, description="sets of changes by name")
    sweep: SweepSettings | None = None


class _AnyOf(GenerateJsonSchema):
    """A section that changes only some settings of its base may fit several data sets, which oneOf would refuse."""

    def tagged_union_schema(self, schema: Any) -> dict[str, Any]:
        return {"anyOf": super().tagged_union_schema(schema)["oneOf"]}


def json_schema() -> dict[str, Any]:
    """The schema, with each data set's own settings."""
    return ConfigurationFile.model_json_schema(schema_generator=_AnyOf)
