"""The training loop that the Bias Amplifier and all methods share; a method is a loss and a way to draw batches.

    model = fit(train, lambda batch: batch.cross_entropy.mean(), settings, Context(seed=0, name="erm"))

Step t draws its batch from (stream, seed, t) and never from what ran before. The test split is never seen here: weights
are chosen by `settings.selection`, on validation images alone.
"""

from __future__ import annotations

import copy
import itertools
import math
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ddb.data import Split
from ddb.data.loading import Images, ImageTransform, Items, move
from ddb.errors import DDBError
from ddb.lazy import Tensor, nn, np, torch
from ddb.randomness import derive_key, numpy_generator
from ddb.settings import AddedLater, HashedAs, OneOf, Renamed, Settings, absolute, file_content
from ddb.training.classifier import predict
from ddb.training.metrics import worst
from ddb.training.networks import HEADS, NETWORKS, build_network, last_layer
from ddb.training.precision import Precision, tf32

LOSSES_EVERY = 20  # steps between two moments at which the losses are read, for which a GPU has to wait
Selection = Literal["last", "val_average", "val_worst_group", "val_pseudo_worst_group"]


class TrainingSettings(Settings):
    """How a classifier is trained."""

    network: Annotated[str, OneOf(NETWORKS)] = Field(
        default="small_cnn",
        description="small_cnn, resnet18, resnet50, densenet121 or efficientnet_lite0; on features: linear or mlp",
    )
    pretrained: Annotated[str, HashedAs(file_content), Renamed("weights")] = Field(
        default="none", description="weights of a backbone at the start: none, imagenet, or a file"
    )
    image_size: int | None = Field(
        default=None, ge=8, description="pixels, read from the files; null: the prepared arrays"
    )
    augment: bool = Field(default=False, description="random mirror and crop of training images")
    steps: int = Field(default=500, gt=0, description="optimizer steps")
    batch_size: int = Field(default=64, ge=2, description="images per step")
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="sgd has momentum 0.9")
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    schedule: Annotated[Literal["constant", "cosine", "step"], AddedLater("constant")] = Field(
        default="constant",
        description="of the learning rate; cosine: half a cosine to 0; step: times decay after every decay_every steps",
    )
    decay_every: Annotated[int | None, AddedLater(None)] = Field(default=None, gt=0, description="of schedule step")
    decay: Annotated[float, AddedLater(0.1)] = Field(default=0.1, gt=0, lt=1, description="of schedule step")
    frozen: Annotated[bool, AddedLater(False)] = Field(
        default=False, description="only the new last layer of a backbone learns; batch norm keeps its statistics"
    )
    precision: Annotated[Precision, AddedLater("fp32")] = Field(
        default="fp32", description="of training: fp32, tf32 (GPUs alone) or bf16 (autocast); predictions are in fp32"
    )
    compile: Annotated[bool, AddedLater(False)] = Field(
        default=False, description="torch.compile the network for training: a minute at the start, and a C++ compiler"
    )
    evaluate_every: int | None = Field(
        default=100, gt=0, description="steps between two looks at the validation images; null: after every epoch"
    )
    selection: Selection = Field(
        default="last", description="whose weights are kept: the last, or the best on validation"
    )

    def transform(self, workers: int = 0) -> ImageTransform:
        """How the classifier sees its training images, read by so many processes."""
        return ImageTransform(self.image_size, self.augment, workers)

    @property
    def trained_steps(self) -> int:
        """Steps of all networks that the method trains together, for estimates of its cost."""
        return self.steps

    @model_validator(mode="after")
    def _consistent(self):
        if self.pretrained != "none" and self.network in ("small_cnn", *HEADS):
            raise ValueError(f"pretrained: there are no weights of {self.network}")
        if self.frozen and self.network in ("small_cnn", *HEADS):
            raise ValueError(f"frozen: {self.network} has no backbone")
        if (self.schedule == "step") != (self.decay_every is not None):
            raise ValueError("schedule step needs decay_every, and decay_every needs schedule step")
        if self.network in HEADS and (self.image_size or self.augment):
            raise ValueError(f"network {self.network} takes features: image_size and augment are for images")
        return self

    @field_validator("pretrained")
    @classmethod
    def _absolute_file(cls, name: str) -> str:
        return name if name in ("none", "imagenet") else absolute(name)


def _silent(step: int, total: int, numbers: dict[str, Any]) -> None:
    """Progress that nobody watches."""


@dataclass
class Context:
    """What surrounds one training: who it is, what it may validate on, whom it tells, what it noted."""

    seed: int
    name: str  # the method, for errors
    validation: Split | None = None
    validation_groups: np.ndarray | None = None  # (V,) group of each validation image, for the worst-group criteria
    device: str = "cpu"
    workers: int = 0  # processes that load images from files
    progress: Callable[[int, int, dict[str, Any]], None] = _silent  # (step, total, numbers)
    stream: str = "target"  # of random numbers: all methods share one, so that their comparison is paired
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry per evaluation, and notes
    classes: tuple[str, ...] = ()  # names, for sources that read folders
    synthetic: Split | None = None  # for methods that train an amplifier of their own
    amplifier_settings: TrainingSettings | None = None  # the AmplifierSettings of such a method

    def part(self, done: int, total: int) -> Context:
        """For one of several trainings in turn, whose progress begins after `done` of `total` steps."""
        return replace(self, progress=lambda step, _, numbers: self.progress(done + step, total, numbers))


@dataclass(frozen=True)
class Batch:
    """One training step as the loss sees it."""

    images: Tensor  # (B, 3, H, W) float32 in [-1, 1], or features (B, D) float32
    labels: Tensor  # (B,) int64
    index: Tensor  # (B,) int64, rows of the training split
    logits: Tensor  # (B, C)
    cross_entropy: Tensor  # (B,), not reduced
    step: int  # from 1


Loss = Callable[[Batch], "Tensor"]  # to a scalar


def mean_loss(batch: Batch) -> Tensor:
    """mean_i CE_i, a scalar: empirical risk minimisation."""
    return batch.cross_entropy.mean()


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """Of step `step`, from 1."""
    if settings.schedule == "cosine":
        return settings.learning_rate * (1 + math.cos(math.pi * min(1, (step - 1) / settings.steps))) / 2
    if settings.schedule == "step":
        return settings.learning_rate * settings.decay ** ((step - 1) // (settings.decay_every or 1))
    return settings.learning_rate


class Learner:
    """A network under training, advanced one step at a time, so that two can take turns (`ddb_end_to_end_joint`).

    `sampling_weights` (N,) draws with replacement in proportion to them; None walks through a fresh permutation of
    the images in every epoch, without gaps between epochs.
    """

    def __init__(
        self,
        train: Split,
        loss: Loss,
        settings: TrainingSettings,
        context: Context,
        sampling_weights: np.ndarray | None = None,
    ):
        self.train, self.loss, self.settings, self.context = train, loss, settings, context
        num_classes = int(train.labels.max()) + 1  # BiasedDataset.validate: every class has training images
        key = derive_key(f"init/{context.stream}", context.seed)
        inputs = train.array.shape[1] if settings.network in HEADS else None
        self.model = build_network(settings.network, num_classes, key, settings.pretrained, inputs).to(context.device)
        if settings.network in HEADS:
            standardise: Any = self.model.get_submodule("0")
            standardise.fit(torch.from_numpy(train.array))  # (N, D)
        if settings.frozen:
            self.model.requires_grad_(False)
            last_layer(self.model).requires_grad_()
        self._device_type = torch.device(context.device).type
        more: dict[str, Any] = {"momentum": 0.9} if settings.optimizer == "sgd" else {}
        kind = torch.optim.SGD if settings.optimizer == "sgd" else torch.optim.AdamW
        more |= {"lr": settings.learning_rate, "weight_decay": settings.weight_decay, "fused": True}  # one kernel
        self.optimizer = kind([each for each in self.model.parameters() if each.requires_grad], **more)
        self._network = torch.compile(self.model) if settings.compile else self.model
        self._labels = torch.from_numpy(train.labels).to(context.device)  # (N,)
        self.losses: list[float] = []  # of the steps whose losses were read
        self._unread: list[Tensor] = []
        self.probability = None if sampling_weights is None else sampling_weights / sampling_weights.sum()  # (N,)
        self._permutation: tuple[int, np.ndarray] | None = None  # of the current epoch
        self._drawn: deque[np.ndarray] = deque()  # rows of the batches that are being loaded
        self._batches: Iterator[Tensor] | None = None

    def step(self, number: int) -> None:
        """Take step `number`, the one after the last."""
        if self._batches is None:
            # A proxy: items that held us, who hold the batches, would keep the loading processes until some later gc.
            items = Learner._items(weakref.proxy(self), number)
            transform = self.settings.transform(self.context.workers)
            self._batches = Images(self.train, transform, self.context.device).batches(items)
        images = next(self._batches)  # (B, 3, H, W)
        index = move(torch.from_numpy(self._drawn.popleft()), self.context.device)  # (B,)
        self.learn(images, self._labels[index], index, number)

    def learn(self, images: Tensor, labels: Tensor, index: Tensor, number: int) -> None:
        """`step` on a batch that someone else drew, of the shapes and on the device of `Batch` (`lff`).

        Raises DDBError if a loss is not finite, when the losses are read.
        """
        self.model.train(not self.settings.frozen)
        with tf32(self.settings.precision == "tf32"):
            with torch.autocast(self._device_type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
                logits = self._network(images).float()  # (B, C)
            cross_entropy = torch.nn.functional.cross_entropy(logits, labels, reduction="none")  # (B,)
            loss = self.loss(Batch(images, labels, index, logits, cross_entropy, number))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        self.optimizer.param_groups[0]["lr"] = learning_rate(self.settings, number)
        self.optimizer.step()
        self._unread.append(loss.detach())
        if number % LOSSES_EVERY == 0 or number == self.settings.steps:
            self.read_losses(number)

    def read_losses(self, number: int) -> None:
        """Append the losses up to step `number` to `losses`. Raises DDBError if one is not finite."""
        values = torch.stack(self._unread).tolist() if self._unread else []
        for step, value in enumerate(values, number - len(values) + 1):
            if not math.isfinite(value):
                raise DDBError(f"{self.context.name}: the loss is {value} at step {step}; lower learning_rate (it is "
                               f"{self.settings.learning_rate:g})")  # fmt: skip
        self.losses += values
        self._unread = []

    def _items(self, number: int) -> Iterator[Items]:
        """Rows with their augmentation's keys, a batch at a time from step `number` on; loaders ask ahead."""
        for step in itertools.count(number):
            index = self.draw(step)  # (B,)
            self._drawn.append(index)
            keys: list[int | None] = [None] * len(index)
            if self.settings.augment:
                purpose, seed = f"augment/{self.context.stream}", self.context.seed
                keys = [derive_key(purpose, seed, step, position) for position in range(len(index))]
            yield list(zip(index.tolist(), keys, strict=True))

    def draw(self, number: int) -> np.ndarray:
        """Rows of the training split in the batch of step `number`, (B,) int64."""
        size, total = self.settings.batch_size, len(self.train)
        if self.probability is not None:
            random = numpy_generator(f"batch/{self.context.stream}", self.context.seed, number)
            return random.choice(total, size, p=self.probability)
        positions = np.arange((number - 1) * size, number * size)  # in the endless walk through the epochs
        epochs = positions // total
        parts = [self._epoch(epoch)[positions[epochs == epoch] % total] for epoch in np.unique(epochs)]
        return np.concatenate(parts)

    def _epoch(self, epoch: int) -> np.ndarray:
        """The order of the images in `epoch`, (N,); the last one asked for is kept."""
        if self._permutation is None or self._permutation[0] != epoch:
            random = numpy_generator(f"epoch/{self.context.stream}", self.context.seed, epoch)
            self._permutation = (epoch, random.permutation(len(self.train)))
        return self._permutation[1]


def fit(
    train: Split,
    loss: Loss,
    settings: TrainingSettings,
    context: Context,
    sampling_weights: np.ndarray | None = None,
    before_step: Callable[[int], object] | None = None,
    after_evaluation: Callable[[int, nn.Module], dict[str, Any]] | None = None,
) -> nn.Module:
    """Train a fresh network and return it in evaluation mode, with the weights that `settings.selection` keeps.

    Every `evaluate_every` steps (or epoch) and after the last one, an entry {step, epoch, loss (mean since the last
    entry), val_average and the criterion where known} joins `run.history`, with what `after_evaluation(step, model)`
    returns beside it. The best validation value wins and ties keep the earlier weights. `before_step(step)` runs first
    in every step. Raises DDBError where the loss is not finite or the criterion cannot be computed.
    """
    _check_selection(settings, context)
    learner = Learner(train, loss, settings, context, sampling_weights)
    validation = None
    if context.validation is not None and len(context.validation):
        transform = replace(settings.transform(context.workers), augment=False)
        validation = Images(context.validation, transform, context.device)
    best_value, best_step, best_state = -math.inf, settings.steps, None
    seen = 0  # losses in the entries so far
    for step in range(1, settings.steps + 1):
        if before_step:
            before_step(step)
        learner.step(step)
        due = _due(step, settings, len(train))
        if due:
            learner.read_losses(step)
        known = {"loss": learner.losses[-1]} if learner.losses else {}
        context.progress(step, settings.steps, known | {"images_per_step": settings.batch_size})
        if not due:
            continue
        entry = {"step": step, "epoch": step * settings.batch_size / len(train)}
        entry |= {"loss": float(np.mean(learner.losses[seen:]))}
        entry |= _validate(learner.model, validation, settings, context) if validation else {}
        if after_evaluation:
            entry |= after_evaluation(step, learner.model)
        context.history.append(entry)
        seen = len(learner.losses)
        if settings.selection != "last" and entry[settings.selection] > best_value:
            best_value, best_step = entry[settings.selection], step
            best_state = copy.deepcopy(learner.model.state_dict())
    if best_state is not None:
        learner.model.load_state_dict(best_state)
        context.history.append({"step": best_step, "note": f"kept by {settings.selection}"})
    return learner.model.eval()


def first_per_class(split: Split, count: int | None) -> Split:
    """The first `count` images of every class in the order of the split (all if None); the prefix of a synthetic set.

    Raises DDBError where a class has fewer.
    """
    if count is None:
        return split
    rows = []
    for label in np.unique(split.labels):
        members = np.flatnonzero(split.labels == label)
        if len(members) < count:
            raise DDBError(f"images_per_class: {count} asked for, but class {label} has only {len(members)} images")
        rows.append(members[:count])
    return split.take(np.sort(np.concatenate(rows)))


def _due(step: int, settings: TrainingSettings, images: int) -> bool:
    """Whether the model is looked at after this step: at a multiple of `evaluate_every`, or where an epoch ends."""
    if step == settings.steps:
        return True
    if settings.evaluate_every is not None:
        return step % settings.evaluate_every == 0
    return step * settings.batch_size // images > (step - 1) * settings.batch_size // images


def _check_selection(settings: TrainingSettings, context: Context) -> None:
    """Refuse, before any training, a criterion that this run cannot compute."""
    if settings.selection == "last":
        return
    if context.validation is None or len(context.validation) == 0:
        raise DDBError(f"{context.name}: selection {settings.selection} needs validation images, and there are none")
    if settings.selection != "val_average" and context.validation_groups is None:
        raise DDBError(f"{context.name}: selection {settings.selection} needs groups of the validation images: "
                       "unknown here")  # fmt: skip


def _validate(model: nn.Module, validation: Images, settings: TrainingSettings, context: Context) -> dict[str, float]:
    """Accuracy on the validation images, and the lowest among their groups if that is the criterion."""
    correct = predict(model, validation).argmax(1).numpy() == validation.split.labels  # (V,)
    numbers = {"val_average": float(correct.mean())}
    if settings.selection in ("val_worst_group", "val_pseudo_worst_group"):
        assert context.validation_groups is not None
        numbers[settings.selection] = worst(correct, context.validation_groups)
    return numbers
