"""Methods, one file each. A new one: a file with a settings class and a function, and one name in the import below."""

from ddb.recipes import afr, dfr, end_to_end, erm, group_dro, hard_control, jtt, lff, two_step  # noqa: F401
from ddb.recipes.registry import METHODS, Method, get_method

__all__ = ["METHODS", "Method", "get_method"]
