"""YAML as people write it: 1e-4 is a number, `no` is a word, and a key that stands twice is a mistake.

    values = read("learning_rate: 1e-4")
    text = write(values)

PyYAML reads YAML 1.1, in which 1e-4 is a text, 010 is eight, `no` is false, and the last of two sections of one name
replaces the first. This is the core schema of YAML 1.2, with decimal numbers alone.
"""

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ddb.errors import DDBError

TAG = "tag:yaml.org,2002:"
SCALARS = {
    "null": r"(~|null|Null|NULL)?",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+",
    "float": r"[-+]?((\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
}


class Loader(yaml.SafeLoader):
    """PyYAML's, with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: ClassVar[dict[str, list]] = {}

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Raises yaml.MarkedYAMLError for a key that stands twice in the text; a merged one may be overridden."""
        node, seen = super().compose_mapping_node(anchor), set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return node


class Dumper(yaml.SafeDumper):
    """PyYAML's, which also quotes texts that YAML 1.2 reads as numbers, such as 1e4 and 08."""


for name, pattern in SCALARS.items():
    for each in (Loader, Dumper):
        each.add_implicit_resolver(TAG + name, re.compile(f"^(?:{pattern})$"), None)
Loader.add_implicit_resolver(TAG + "merge", re.compile("^<<$"), ["<"])
Loader.add_constructor(TAG + "int", lambda loader, node: int(node.value))


def read(text: str) -> Any:
    """The plain values of a document. Raises ValueError with the line and the reason."""
    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{place}{error.problem or error.context}") from None
    except yaml.YAMLError as error:  # a character that YAML forbids
        raise ValueError(" ".join(str(error).split())) from None
    except (AttributeError, KeyError) as error:  # PyYAML on a text that does not suit its tag, such as !!bool maybe
        raise ValueError(f"a value does not suit its tag ({error})") from None


def write(values: Any) -> str:
    """A document that both versions of YAML read as these plain values, in their order."""
    return yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True)


def read_file(path: Path, what: str) -> Any:
    """The plain values of a file. Raises DDBError that begins with `what` and the path."""
    try:
        return read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DDBError(f"{what} {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DDBError(f"{what} {path}: not a text file") from None
    except ValueError as error:
        raise DDBError(f"{what} {path}: not YAML: {error}") from None
