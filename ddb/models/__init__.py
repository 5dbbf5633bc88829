"""A trained classifier to take away: load it, predict with it, export it for other tools."""

from ddb.models.model import Model, load_model

__all__ = ["Model", "load_model"]
