"""The kinds of stages, one file each, in pipeline order; the most urgent first."""

from typing import Any

from ddb.stages.alignment import Alignment
from ddb.stages.amplifier import Amplifier
from ddb.stages.cdpm import CDPM
from ddb.stages.data import Data
from ddb.stages.kind import Kind
from ddb.stages.probe import Probe
from ddb.stages.synthetic import Synthetic
from ddb.stages.target import Target
from ddb.stages.validation import Validation
from ddb.store import Stage

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (Data(), CDPM(), Synthetic(), Amplifier(), Target(), Validation(), Probe(), Alignment())
}


def make_stage(name: str, config: dict[str, Any], **inputs: Stage) -> Stage:
    """A stage of the kind `name`, with the version of its code."""
    return Stage(name, config, KINDS[name].version, inputs)
