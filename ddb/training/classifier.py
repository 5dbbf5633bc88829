"""Classifiers: images in, logits out, and how a trained one lies on disk.

model = load_classifier(directory)
logits = predict(model, split)       # (N, C)
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddb.data import Split
from ddb.data.loading import Images, ImageTransform
from ddb.errors import DDBError
from ddb.lazy import Tensor, nn, np, safetensors, torch
from ddb.training.networks import HEADS, build_network
from ddb.training.precision import tf32

if TYPE_CHECKING:
    from ddb.training.loop import TrainingSettings

BATCH_SIZE = 512  # on a GPU; a quarter where images are read from files, which are larger
CACHED_PIXELS = 2**16  # of a batch on a CPU whose activations stay in its cache: up to twice as fast as 512 images


def predict(
    model: nn.Module,
    images: np.ndarray | Split | Images,
    transform: ImageTransform | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """Logits (N, C) float32 on the CPU, in evaluation mode, computed in fp32 where the model's weights are.

    `images` is (N, H, W, 3) uint8, a split or Images on the model's device; `transform` says how the model sees the
    first two, augmentation apart. The model is handed back in the mode in which it came.
    """
    if isinstance(images, np.ndarray):
        images = Split(images, np.zeros(len(images), np.int64), [""] * len(images))
    device = next(model.parameters()).device
    if isinstance(images, Split):
        images = Images(images, transform or ImageTransform(), str(device), keep=False)
    size = batch_size or _batch_size(device, images)
    was_training = model.training
    model.eval()
    with torch.no_grad(), tf32(False):
        logits = torch.cat([model(batch).float() for batch in images.in_order(size)]).cpu()
    model.train(was_training)
    return logits


def _batch_size(device: torch.device, images: Images) -> int:
    split = images.split
    if device.type != "cpu" or (split.images is not None and split.array.ndim == 2):
        return BATCH_SIZE if images.size is None else BATCH_SIZE // 4
    return min(128, max(4, CACHED_PIXELS // (images.size or split.array.shape[1]) ** 2))


@dataclass(frozen=True)
class Description:
    """What one must know to use a saved classifier: `classifier.json`."""

    network: str
    classes: tuple[str, ...]
    image_size: int | None = None  # pixels that it sees; None: the prepared arrays
    inputs: int | None = None  # number of features, of a network that takes them

    @classmethod
    def of(cls, model: nn.Module, settings: TrainingSettings, classes: tuple[str, ...]) -> Description:
        """The description of a classifier that was trained with `settings`."""
        inputs = model.get_submodule("0").get_buffer("mean").numel() if settings.network in HEADS else None
        return cls(settings.network, classes, settings.image_size, inputs)


def save_classifier(directory: str | Path, model: nn.Module, description: Description) -> None:
    """Write `model.safetensors` and `classifier.json`."""
    directory = Path(directory)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    safetensors.save_file(weights, directory / "model.safetensors")
    (directory / "classifier.json").write_text(json.dumps(asdict(description), indent=1) + "\n")


def load_classifier(directory: str | Path) -> nn.Module:
    """The classifier that `save_classifier` wrote, on the CPU, in evaluation mode. Raises DDBError if there is none."""
    directory = Path(directory)
    try:
        description = json.loads((directory / "classifier.json").read_text())
        weights = safetensors.load_file(directory / "model.safetensors")
    except FileNotFoundError as error:
        raise DDBError(f"no classifier in {directory}: {Path(error.filename or directory).name} is missing") from None
    model = build_network(description["network"], len(description["classes"]), inputs=description["inputs"])
    model.load_state_dict(weights)
    return model.eval()
