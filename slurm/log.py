"""Lines of the launcher in the job's log, and the error that ends a launch."""

import os
import time


class LaunchError(Exception):
    """The job cannot start or continue; the message names the setting or node to look at."""


def log(text: str) -> None:
    """Print a line with the seconds since the first line of the batch script."""
    began = float(os.environ.get("DDB_BEGAN", time.time()))
    print(f"[{time.time() - began:6.1f} s] {text}", flush=True)
