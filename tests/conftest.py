"""What holds in every test and in every process that a test starts.

The only limit on time is pytest's own (`timeout` in pyproject.toml), which ends a hang. Tests wait without a limit of
their own, so that a busy machine makes them slow and never makes them fail.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ |= {"RAY_worker_niceness": "0"}  # at Ray's 15, workers hardly run while others use the cores

import torch

torch.set_num_threads(1)  # the networks are tiny, and two threads on busy cores are slower than one
