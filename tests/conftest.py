"""One thread for every test: the networks are tiny, and two threads on busy cores are slower than one."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

torch.set_num_threads(1)
