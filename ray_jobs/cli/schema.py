"""`ddb schema`: what a configuration file may hold, for editors."""

import json
import sys

EXAMPLE = "ddb schema > experiment.schema.json"


def schema() -> None:
    """JSON Schema of configuration files, for editors that complete and check them."""
    from ddb.experiment.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=1) + "\n")
