"""The pictures of an experiment's report: synthetic images by guidance from the same noise, and what breaks the bias.

    found = gallery(graph, store)            # rows: real images, then each synthetic set; a column is the same noise
    hardest = conflicts(graph, store)        # training images on which the Bias Amplifier has the highest loss

Both take the first data set of the graph, from what is finished; None where that is nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ddb.data import Split, prepared
from ddb.diffusion import synthetic
from ddb.report.titles import agreed_settings, settings_text, value_text
from ddb.signals.table import Signals
from ddb.store import Store

if TYPE_CHECKING:
    from ddb.experiment.graph import AmplifierRun, Graph, SyntheticSet

CLASSES, COLUMNS, MOST_COLUMNS = 10, 30, 8  # classes shown; images of a row, shared out over them; at most per class
CONFLICTS = 24  # training images on the list
TILE, CARD = 48, 96  # pixels to which larger images are reduced: in a row, on the list


@dataclass(frozen=True)
class Strip:
    """One row of the gallery."""

    title: str
    detail: str
    parts: list[np.ndarray]  # for each class (K, S, S, 3) uint8; K is smaller where there are fewer images


@dataclass(frozen=True)
class Gallery:
    """Rows of images, the same classes and columns in each."""

    dataset: str
    classes: tuple[str, ...]
    columns: int  # images of a class side by side
    strips: list[Strip]
    seed: int | None  # of the synthetic images; None where no set is finished
    notes: list[str]  # what is not shown, and why


@dataclass(frozen=True)
class Conflict:
    """One training image of the list."""

    path: str
    label: str
    predicted: str  # the class that the amplifier finds most likely
    score: float  # its loss in nats
    conflicting: bool | None  # by its bias label; None where there is none
    image: np.ndarray  # (S, S, 3) uint8


@dataclass(frozen=True)
class Conflicts:
    """The highest losses of one source of signals, highest first."""

    run: "AmplifierRun"
    images: list[Conflict]
    total: int  # training images
    conflicting: int | None  # truly conflicting ones among them; None where the bias is not labelled

    @property
    def found(self) -> int:
        """Truly conflicting ones among the images of the list."""
        return sum(bool(image.conflicting) for image in self.images)


def gallery(
    graph: "Graph", store: Store, columns: int | None = None, most: int = 12, tile: int = TILE
) -> Gallery | None:
    """Real images and the finished synthetic sets of the lowest seed that has one; None before the data is prepared.

    At most `most` sets, and `columns` images of a class, which are reduced to `tile` pixels.
    """
    if not store.has(graph.data):
        return None
    dataset = prepared.read(store.path(graph.data))
    classes = dataset.classes[:CLASSES]
    columns = columns or min(MOST_COLUMNS, COLUMNS // len(classes))
    planned = [drawn for drawn in graph.synthetic.values() if drawn.data.key == graph.data.key]
    done = [drawn for drawn in planned if store.has(drawn.stage)]
    seed = min((drawn.seed for drawn in done), default=None)
    sets = sorted((drawn for drawn in done if drawn.seed == seed), key=lambda drawn: drawn.sampling.guidance)
    details = _differences(graph, [drawn for drawn in planned if drawn.seed == seed])
    strips = _real(dataset["train"], len(classes), columns, tile)
    for drawn in sets[:most]:
        parts = _parts(synthetic.read(store.path(drawn.stage), columns), None, len(classes), columns, tile)
        strips.append(Strip(*_title(drawn, details[drawn.stage.key], store), parts))
    notes = []
    if planned and not sets:
        notes.append("No synthetic set of this data set is finished yet.")
    waiting = [drawn for drawn in planned if drawn.seed == seed and drawn not in done]
    if waiting:
        names = (", ".join([_guidance(drawn), *details[drawn.stage.key]]) for drawn in waiting)
        notes.append(f"Not drawn yet: {'; '.join(names)}.")
    if any(drawn.alignment is not None and not store.has(drawn.alignment) for drawn in sets):
        notes.append("Where no share of aligned images is given, it is not measured yet.")
    if len(sets) > most:
        notes.append(f"The first {most} of {len(sets)} synthetic sets.")
    if len(dataset.classes) > len(classes):
        notes.append(f"The first {len(classes)} of {len(dataset.classes)} classes.")
    return Gallery(dataset.name, classes, columns, strips, seed, notes)


def _real(train: Split, classes: int, columns: int, tile: int) -> list[Strip]:
    """The first training images of each class, apart by alignment where it is known."""
    if train.aligned is None:
        return [Strip("real", "the bias is not labelled", _parts(train, None, classes, columns, tile))]
    kinds = {"real, aligned": train.aligned, "real, conflicting": ~train.aligned}
    return [
        Strip(title, f"{members.mean():.1%} of the training images", _parts(train, members, classes, columns, tile))
        for title, members in kinds.items()
    ]


def _parts(split: Split, members: np.ndarray | None, classes: int, columns: int, tile: int) -> list[np.ndarray]:
    """The first `columns` images of each class among `members` (N,) bool."""
    members = np.ones(len(split), bool) if members is None else members
    rows = [np.flatnonzero(members & (split.labels == label))[:columns] for label in range(classes)]
    reduced = [[_reduced(split.array[i], tile) for i in some] for some in rows]
    return [np.stack(some) if some else split.array[:0] for some in reduced]


def _title(drawn: "SyntheticSet", differences: list[str], store: Store) -> tuple[str, str]:
    """The set's guidance, and what else is known of it."""
    detail = [f"scale {1 + drawn.sampling.guidance:g}", *differences]
    if drawn.alignment is not None and store.has(drawn.alignment):
        numbers = store.read_json(drawn.alignment, "alignment")
        detail.append(f"{numbers['aligned_share']:.1%} aligned")
    return _guidance(drawn), ", ".join(detail)


def _guidance(drawn: "SyntheticSet") -> str:
    return f"w = {drawn.sampling.guidance:g}"


def _differences(graph: "Graph", sets: "list[SyntheticSet]") -> dict[str, list[str]]:
    """What beside the guidance tells each of the sets from the others, by key."""
    agreed = agreed_settings(graph)
    settings = {drawn.stage.key: agreed[drawn.stage.key] for drawn in sets}
    names = {name for each in settings.values() for name in each}
    differing = {name for name in names if len({value_text(each.get(name)) for each in settings.values()}) > 1}
    return {key: settings_text({n: v for n, v in each.items() if n in differing}) for key, each in settings.items()}


def conflicts(graph: "Graph", store: Store) -> Conflicts | None:
    """The list of the graph's first finished source of signals, if possible `synthetic`; None if there is none yet.

    `real` is left out: it is trained for its curve, and has memorised the images.
    """
    runs = sorted(graph.amplifiers.values(), key=lambda run: run.source != "synthetic")
    done = (run for run in runs if store.has(run.stage) and store.has(run.stage.inputs["data"]))
    run = next((run for run in done if run.source != "real"), None)
    if run is None:
        return None
    dataset = prepared.read(store.path(run.stage.inputs["data"]))
    train, signals = dataset["train"], Signals.read(store.path(run.stage) / "signals.parquet")
    images = [
        Conflict(
            signals.paths[row],
            dataset.classes[signals.labels[row]],
            dataset.classes[signals.predicted[row]],
            float(signals.loss[row]),
            None if train.aligned is None else not train.aligned[row],
            _reduced(train.array[row], CARD),
        )
        for row in np.argsort(-signals.loss, kind="stable")[:CONFLICTS]
    ]
    total = None if train.aligned is None else int((~train.aligned).sum())
    return Conflicts(run, images, len(signals.paths), total)


def _reduced(image: np.ndarray, pixels: int) -> np.ndarray:
    """At most `pixels` wide and high: (S, S, 3) uint8. Small images keep every pixel."""
    if max(image.shape[:2]) <= pixels:
        return np.array(image)
    picture = Image.fromarray(np.array(image))
    picture.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    return np.asarray(picture)
