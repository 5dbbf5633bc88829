"""A CDPM that was trained elsewhere, from a folder that diffusers wrote.

    cdpm: {pipeline: my_model}          # with my_model/unet and my_model/scheduler

`unet` is a UNet2DModel with one class embedding more than there are classes, the last of which means "no class", as
classifier-free guidance needs. The scheduler's configuration says what the network predicts and under which noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddb.data.files import content_of
from ddb.errors import DDBError

if TYPE_CHECKING:
    from ddb.diffusion.pipeline import CDPMPipeline

PARTS = ("unet", "scheduler")


def content(root: str) -> str:
    """A hash of the files that are read; the name itself if the folder is not such a pipeline."""
    folder = Path(root)
    if not all((folder / part).is_dir() for part in PARTS):
        return root
    paths = [path.relative_to(folder).as_posix() for part in PARTS for path in sorted((folder / part).iterdir())]
    return content_of(folder, paths)


def read(root: Path, classes: int, image_size: int) -> CDPMPipeline:
    """The pipeline. Raises DDBError if it cannot be read, or is for other classes or another image size."""
    from diffusers import DDPMScheduler, UNet2DModel

    from ddb.diffusion.pipeline import CDPMPipeline

    try:
        unet = UNet2DModel.from_pretrained(root, subfolder="unet", local_files_only=True)
        scheduler: Any = DDPMScheduler.from_pretrained(root, subfolder="scheduler", local_files_only=True)
    except Exception as error:  # diffusers raises many kinds for a folder that is damaged or something else
        reason = str(error).partition("\n")[0]
        raise DDBError(f"cdpm.pipeline: {root} cannot be read: {reason}") from None
    expected = {"num_class_embeds": classes + 1, "sample_size": image_size, "in_channels": 3, "out_channels": 3}
    for name, value in expected.items():
        if unet.config[name] != value:
            raise DDBError(f"cdpm.pipeline: {name} of {root / 'unet'} is {unet.config[name]}, and this data set with "
                           f"{classes} classes, the null class and {image_size} pixels needs {value}")  # fmt: skip
    return CDPMPipeline(unet, scheduler)
