"""YAML as people write it."""

import pytest
import yaml

from ddb.data.fetch import load_sources
from ddb.errors import DDBError
from ddb.experiment.config_file import load
from ddb.yaml_text import read, write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-2.5E+3", -2500.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("010", 10),
        ("+7", 7),
        ("-.inf", float("-inf")),
        ("no", "no"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("True", True),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("e-4", "e-4"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    found = read(text)
    assert found == value and type(found) is type(value)


def test_what_is_written_is_the_same_in_both_versions_of_yaml():
    values = {"texts": ["1e4", "08", "010", "no", "1:30", "1_0", "~", "née"], "numbers": [1e-4, 1e20, 8, None, True]}
    assert read(write(values)) == yaml.safe_load(write(values)) == values


def test_merged_sections_are_no_repetition():
    assert read("a: &a {b: 1, c: 2}\nd: {<<: *a, c: 3}")["d"] == {"b": 1, "c": 3}
    assert read("a: &a {k: 1}\nx:\n  b: &b {<<: *a, k: 2}\nc: {<<: *b}")["x"] == {"b": {"k": 2}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: 'a' stands twice"),
        ("a: {b: 1, b: 1}", "line 1: 'b' stands twice"),
        ("a:\n- [1", "line 2: expected ',' or '\\]'"),
        ("a: b: c", "line 1: mapping values are not allowed here"),
        ("\x00", "unacceptable character"),
        ("a: !!bool maybe", "a value does not suit its tag"),
        ("a: !!timestamp x", "a value does not suit its tag"),
    ],
)
def test_a_mistake_is_named_with_its_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        read(text)
    assert "\n" not in str(error.value)


def test_every_file_is_read_so(tmp_path, monkeypatch):
    path = tmp_path / "twice.yaml"
    path.write_text("training: {steps: 4}\nmethods: {erm: {}}\ntraining: {batch_size: 4}\n")
    with pytest.raises(DDBError, match=rf"^configuration {path}: not YAML: line 3: 'training' stands twice$"):
        load(path)
    path.write_text("methods: {erm: {}}\ntraining: {learning_rate: 1e-4}\n")
    assert load(path, ["training.weight_decay=1e-3"]).config.training == {"learning_rate": 1e-4, "weight_decay": 1e-3}
    path.write_text("bar: {}\nbar: {}\n")
    monkeypatch.setenv("DDB_SOURCES", str(path))
    with pytest.raises(DDBError, match=rf"^data sources {path}: not YAML: line 2: 'bar' stands twice$"):
        load_sources()
