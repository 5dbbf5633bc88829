"""From a result of the store to a folder that works elsewhere: `ddb.models`, ONNX, torch.export, and a model card.

    export_model(store, classifier, weights, Path("my_model"))

`classifier` is the folder of a classifier's result; its record names the data set, the encoder and the amplifier.
"""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

from ddb.errors import DDBError
from ddb.features.encoders import build_encoder, default_layers
from ddb.lazy import np, safetensors, torch
from ddb.models.card import card
from ddb.models.model import ENCODER, PREPROCESSING, Model, load_model
from ddb.settings import file_content
from ddb.store import Store
from ddb.training.pretrained import weights_file

NETWORK = ("model.safetensors", "classifier.json")


def export_model(store: Store, classifier: Path, weights: str, directory: Path, formats: tuple[str, ...] = ()) -> Model:
    """Write the folder. `weights` is the setting `features.weights`, of which a record keeps the content alone.

    Raises DDBError if the encoder's weights are not those of the training, or if a format needs a package.
    """
    record = _record(classifier)
    directory.mkdir(parents=True, exist_ok=True)
    _write(store, classifier, record, weights, directory, on_files=True)
    amplifier = store.root / record["inputs"].get("amplifier", "nowhere")
    if (amplifier / "classifier.json").exists():
        inner = _record(amplifier)
        native = inner["config"]["amplifier"].get("resolution") == "native"
        (directory / "amplifier").mkdir(exist_ok=True)
        _write(store, amplifier, inner, weights, directory / "amplifier", on_files=native)
    model = load_model(directory)
    for name in formats:
        _FORMATS[name](model, directory)
    (directory / "README.md").write_text(card(store, classifier, record, model, formats), encoding="utf-8")
    return model


def _record(result: Path) -> dict[str, Any]:
    try:
        return json.loads((result / "record.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DDBError(f"{result}: not a finished result of a store") from None


def _write(store: Store, result: Path, record: dict, weights: str, directory: Path, on_files: bool) -> None:
    """The network and how it sees pictures. `on_files`: at full resolution, not reduced to the CDPM's first."""
    for name in NETWORK:
        shutil.copyfile(result / name, directory / name)
    network = json.loads((result / "classifier.json").read_text(encoding="utf-8"))
    if network["inputs"] is None:
        size = _record(store.root / record["inputs"]["data"])["config"]["dataset"]["image_size"]
        full = on_files and network["image_size"] is not None
        how = {"prepared": None if full else size, "image_size": network["image_size"]}
    else:
        settings = _record(store.root / record["inputs"]["features"])["config"]
        how = _save_encoder(settings, (record["config"].get("amplifier") or {}).get("layer"), weights, directory)
    (directory / PREPROCESSING).write_text(json.dumps(how, indent=1) + "\n", encoding="utf-8")


def _save_encoder(settings: dict[str, Any], layer: str | None, weights: str, directory: Path) -> dict[str, str]:
    name, path = settings["features"]["encoder"], weights_file(settings["features"]["encoder"], weights)
    if file_content(str(path)) != settings["weights"]:
        raise DDBError(f"{path}: other weights than those that the classifier was trained with")
    encoder = build_encoder(name, path)
    values = {key: value.contiguous() for key, value in encoder.network.state_dict().items()}
    safetensors.save_file(values, directory / ENCODER)
    layers = settings["features"]["layers"] or default_layers(encoder.network)
    return {"encoder": name, "layer": layer or layers[-1]}


def _example(model: Model) -> Any:
    """Two preprocessed pictures: a batch of one would be exported as always one."""
    from PIL import Image

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    return torch.stack([model.preprocess(picture)] * 2)


def _pt2(model: Model, directory: Path) -> None:
    """`model.pt2`: a program of torch.export; a batch of any size."""
    program = torch.export.export(model.network, (_example(model),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of torch's own, about weights of a GPU
        torch.export.save(program, directory / "model.pt2")


def _onnx(model: Model, directory: Path) -> None:
    """`model.onnx`: input `images` (N, 3, S, S) as `preprocessing.json` says, output `logits` (N, C)."""
    try:
        import onnxscript  # noqa: F401  # used by torch's exporter
    except ImportError:
        raise DDBError(
            "--format onnx: needs the packages onnx and onnxscript; pip install 'ddb-on-ray[onnx]'"
        ) from None
    torch.onnx.export(
        model.network,
        (_example(model),),
        str(directory / "model.onnx"),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


_FORMATS = {"onnx": _onnx, "pt2": _pt2}
