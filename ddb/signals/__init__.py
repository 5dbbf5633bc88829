"""Sources of signals, one file each. A new one: a file with a function, and one name in the import below."""

from ddb.signals import class_mean, cross_fit, file, gaussian, gce, generated, lda, real, synthetic, xrm  # noqa: F401
from ddb.signals.registry import SOURCES, Found, Source

__all__ = ["SOURCES", "Found", "Source"]
