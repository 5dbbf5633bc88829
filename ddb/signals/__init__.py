"""Sources of signals, one file each. A new one: a file with a function, and one name in the import below."""

from ddb.signals import file, real, synthetic
from ddb.signals.registry import SOURCES, Found, Source

__all__ = ["SOURCES", "Found", "Source", "file", "real", "synthetic"]
