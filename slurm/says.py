"""Lines of the launcher in the job's log, each with the seconds since the batch script's first line."""

import os
import time


def says(text: str) -> None:
    """Print a line at once, also into a file."""
    began = float(os.environ.get("DDB_BEGAN", time.time()))
    print(f"[{time.time() - began:6.1f} s] {text}", flush=True)
