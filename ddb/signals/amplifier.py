"""The Bias Amplifier: its training, and its signals on the real images.

context = Context(seed=0, name="amplifier", stream="amplifier")
found = signals_of_amplifier(synthetic, train, val, AmplifierSettings(), context)
found.train.write("signals.parquet")
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ddb.data import Split
from ddb.data.generated import content
from ddb.data.loading import ImageTransform
from ddb.lazy import nn
from ddb.settings import AddedLater, HashedAs, OneOf, absolute, file_content
from ddb.signals.registry import SOURCES, Found
from ddb.signals.table import Signals
from ddb.training.classifier import predict
from ddb.training.loop import Context, TrainingSettings, fit, mean_loss
from ddb.training.networks import HEADS


class AmplifierSettings(TrainingSettings):
    """Settings of the Bias Amplifier."""

    steps: int = Field(default=300, gt=0, description="optimizer steps")
    evaluate_every: int | None = Field(
        default=None, gt=0, description="steps between two points of the memorisation curve; null: after every epoch"
    )
    source: Annotated[str, OneOf(SOURCES)] = Field(
        default="synthetic",
        description="of the signals: the amplifier on synthetic or real images; cross_fit, xrm or gce on real ones; "
        "class_mean, lda or gaussian in closed form; file",
    )
    file: Annotated[str | None, AddedLater(None), HashedAs(file_content)] = Field(
        default=None, description="with source file: Parquet or CSV with path and score (ddb/signals/file.py)"
    )
    generated: Annotated[str | None, AddedLater(None), HashedAs(content)] = Field(
        default=None, description="with source generated: a folder of images per class (ddb/signals/generated.py)"
    )
    space: Annotated[Literal["pixels", "features"], AddedLater("pixels")] = Field(
        default="pixels",
        description="input of the source: images, or features of the encoder in section features, on which network is "
        "linear unless it is mlp",
    )
    layer: Annotated[str | None, AddedLater(None)] = Field(
        default=None,
        description="of the features; null: all, whose calibrated log-probabilities are averaged (closed forms), or "
        "the last (networks)",
    )
    components: Annotated[int, AddedLater(64)] = Field(
        default=64, ge=1, description="principal components of pixels or features that the closed forms use"
    )
    covariance: Annotated[Literal["diagonal", "shrunk"], AddedLater("diagonal")] = Field(
        default="diagonal", description="of gaussian: independent components, or full with Ledoit-Wolf shrinkage"
    )
    folds: Annotated[int, AddedLater(2)] = Field(
        default=2, ge=2, description="of cross_fit: parts of the training images"
    )
    q: Annotated[float, AddedLater(0.7)] = Field(default=0.7, gt=0, le=1, description="of gce: LfF's 0.7")
    images_per_class: int | None = Field(default=None, gt=0, description="prefix of the synthetic set; null takes all")
    resolution: Literal["cdpm", "native"] = Field(
        default="cdpm",
        description="of real images before they get image_size: that of synthetic ones; native: their files'",
    )

    @field_validator("file", "generated")
    @classmethod
    def _absolute_file(cls, name: str | None) -> str | None:
        return name and absolute(name)

    @model_validator(mode="before")
    @classmethod
    def _head_on_features(cls, values: Any) -> Any:
        """On features, `linear` replaces a network of images, so that one grid can compare both spaces."""
        of_images = isinstance(values, dict) and values.get("network") not in HEADS
        if of_images and values.get("space") == "features":
            return values | {"network": "linear", "pretrained": "none", "image_size": None, "augment": False}
        return values

    @model_validator(mode="after")
    def _fits_space(self):
        if (self.network in HEADS) != (self.space == "features"):
            takes = "features" if self.network in HEADS else "images"
            raise ValueError(f"network {self.network} takes {takes}, but space is {self.space}")
        if self.space == "features" and "space" not in SOURCES[self.source].own:
            raise ValueError(f"source {self.source} works in space pixels only")
        if self.layer and self.space == "pixels":
            raise ValueError("layer needs space features")
        return self

    @model_validator(mode="after")
    def _with_file(self):
        for name in ("file", "generated"):
            if (self.source == name) != (getattr(self, name) is not None):
                raise ValueError(f"source: {name} needs {name}: PATH, and {name}: PATH needs source: {name}")
        return self

    def transform(self, workers: int = 0) -> ImageTransform:
        """How the amplifier sees images, real ones reduced to the CDPM's resolution first.

        At their full sharpness they would be told apart from synthetic ones by it: the error set would mean "sharp".
        """
        return replace(super().transform(workers), from_files=self.resolution == "native")


def compute_signals(model: nn.Module, split: Split, transform: ImageTransform | None = None) -> Signals:
    """The signals of `model` on every image of `split`, seen as `transform` says."""
    return Signals.of_logits(predict(model, split, transform).numpy(), split)


def train_amplifier(
    images: Split, real_train: Split, settings: AmplifierSettings, context: Context
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Train on `images` (the synthetic set, or the real training split itself); returns the model and its curve.

    The curve has, after every epoch (or `evaluate_every` steps) and the last step: step, epoch (passes through
    `images`), errors (size of the error set on the real training images), conflicting_errors (how many of the truly
    conflicting ones are still in it) and conflicting_total, both None where the bias is not labelled. A falling
    conflicting_errors is memorisation. Raises DDBError if the loss is not finite.
    """
    conflicting = None if real_train.aligned is None else ~real_train.aligned  # (N,) bool
    curve: list[dict[str, Any]] = []

    def watch(step: int, model: nn.Module) -> dict[str, Any]:
        logits = predict(model, real_train, settings.transform(context.workers))  # (N, C)
        wrong = logits.argmax(1).numpy() != real_train.labels  # (N,) bool
        errors = {
            "errors": int(wrong.sum()),
            "conflicting_errors": None if conflicting is None else int((wrong & conflicting).sum()),
            "conflicting_total": None if conflicting is None else int(conflicting.sum()),
        }
        curve.append({"step": step, "epoch": step * settings.batch_size / len(images), **errors})
        return errors

    model = fit(images, mean_loss, settings, context, after_evaluation=watch)
    return model, curve


def signals_of_amplifier(
    images: Split, train: Split, val: Split, settings: AmplifierSettings, context: Context
) -> Found:
    """Train an amplifier on `images`, and compute its signals on the real images of `train` and `val`."""
    model, curve = train_amplifier(images, train, settings, context)
    of_train, of_val = (compute_signals(model, split, settings.transform(context.workers)) for split in (train, val))
    return Found(of_train, of_val, model, curve)
