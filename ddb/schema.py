"""JSON Schema of a configuration file, for editors: `ddb schema > experiment.schema.json`."""

from typing import Any

from pydantic import Field

from ddb.config import ExperimentConfig
from ddb.data import BENCHMARKS
from ddb.recipes import METHODS
from ddb.sweep import SweepSettings


class ConfigurationFile(ExperimentConfig):
    """A file: an experiment, or what it changes in its base; what it varies or searches."""

    base: str | None = Field(default=None, description="a file, or the name of one in configs/ or configs/benchmarks/")
    vary: dict[str, Any] | list[dict[str, Any]] | None = Field(
        default=None, description="setting: [values]; every combination"
    )
    preset: str | None = Field(default=None, description="one of `presets`")
    presets: dict[str, dict[str, Any]] | None = Field(default=None, description="sets of changes by name")
    sweep: SweepSettings | None = None


def json_schema() -> dict[str, Any]:
    """The schema, with each data set's own settings; a method may have those of any method."""
    schema = ConfigurationFile.model_json_schema()
    schema.pop("required", None)  # a base may bring the methods
    datasets = [benchmark.settings.model_json_schema() for benchmark in BENCHMARKS.values()]
    rows = [method.settings_class.model_json_schema()["properties"] for method in METHODS.values()]
    row = {name: {} for name in ("method", "sampling", "amplifier")}
    for properties in rows:
        row |= properties
    schema["properties"]["dataset"] = {"anyOf": datasets}
    schema["properties"]["methods"]["additionalProperties"] = {
        "anyOf": [{"type": "object", "properties": row, "additionalProperties": False}, {"type": "null"}]
    }
    return schema
