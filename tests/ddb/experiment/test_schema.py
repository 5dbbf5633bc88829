"""The JSON Schema accepts the shipped files and refuses their misspellings (jsonschema comes with Ray)."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from ddb.experiment.schema import json_schema

FILES = sorted(Path("configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_shipped_files_are_valid(path):
    found = jsonschema.Draft202012Validator(json_schema()).iter_errors(yaml.safe_load(path.read_text()))
    assert [error.message for error in found] == []


@pytest.mark.parametrize(
    "values",
    [
        {"methods": {"erm": {"stepz": 3}}},
        {"samplin": {}},
        {"sampling": {"guidance": "strong"}},
        {"dataset": {"name": "waterbirdz"}},
        {"sweep": {"space": {"cdpm.steps": {"chices": [1]}}}},
    ],
)
def test_mistakes_are_seen(values):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, json_schema())
