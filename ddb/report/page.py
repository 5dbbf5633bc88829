"""What every HTML page of ours shares: one file, strict templates, everything escaped, pictures embedded.

page = fill("audit.html.j2", {"small": is_small}, audit=audit)
"""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image


def fill(template: str, filters: dict[str, Callable], **values: Any) -> str:
    """The template of this folder as text that can be written as UTF-8; a name that it lacks is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"breakable": breakable, "png": png} | filters
    page = environment.get_template(template).render(**values)
    # A file name that is not UTF-8 reaches here with lone surrogates, which could not be written.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def breakable(path: str) -> Markup:
    """The escaped path, which may start a new line between its parts instead of anywhere."""
    return Markup("<wbr>").join(re.split(r"(?<=[/_-])", path))


def png(image: np.ndarray) -> str:
    """(H, W, 3 or 4) uint8 as a data URI of a PNG."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
