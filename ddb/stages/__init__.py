"""The kinds of stages, one file each, in pipeline order."""

from typing import Any

from ddb.settings import Part, Settings
from ddb.stages.alignment import Alignment
from ddb.stages.amplifier import Amplifier
from ddb.stages.cdpm import CDPM
from ddb.stages.classifier import Classifier
from ddb.stages.data import Data
from ddb.stages.evaluation import Evaluation
from ddb.stages.features import Features
from ddb.stages.imported_cdpm import ImportedCDPM
from ddb.stages.kind import Kind
from ddb.stages.probe import Probe
from ddb.stages.synthetic import Synthetic
from ddb.store import Stage

IN_ORDER = (Data, Features, CDPM, ImportedCDPM, Synthetic, Amplifier, Classifier, Evaluation, Probe, Alignment)
KINDS: dict[str, Kind] = {kind.name: kind() for kind in IN_ORDER}


def make_stage(name: str, config: dict[str, Any], **inputs: Stage) -> Stage:
    """A stage of the kind `name`, with the versions of its code; values of `config` are settings or JSON values."""
    recorded, hashed = (
        {key: getattr(value, form)() if isinstance(value, (Settings, Part)) else value for key, value in config.items()}
        for form in ("recorded", "hashed")
    )
    return Stage(name, recorded, KINDS[name].code(recorded), inputs, hashed=hashed)
