"""How much memory the processes of a run take before they train anything, and how much this one has taken.

Resident bytes, measured on Linux with Ray 2.60 and PyTorch on CPU, shared pages included: sums err to the safe side.
"""

import contextlib
from pathlib import Path

MB = 2**20
CDPM_WORKER = 1200 * MB  # Python with torch, DeepSpeed and Ray
CDPM_TASK = 700 * MB  # Ray's TorchTrainer imports PyTorch here and in its controller
CONTROLLER = 700 * MB  # one per CDPM
HELPERS = 4 * 200 * MB  # Ray Train's actors beside it, for one CDPM
CDPM_BESIDE = CDPM_TASK + CONTROLLER + HELPERS  # all of a CDPM that computes nothing
SAMPLING_TASK = 1000 * MB  # of a synthetic set
SAMPLER = 1000 * MB  # an actor that draws images
CELL = 1000 * MB  # every other kind of stage: one process
HEAD = 2000 * MB  # Ray's head and the `ddb` command itself


def reset_peak() -> None:
    """Let `peak` count from now on: processes are used for several stages."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def peak() -> dict[str, int]:
    """Bytes that this process has taken at most, and its tensors on a GPU if there is one."""
    import torch

    lines = Path("/proc/self/status").read_text().splitlines()
    found = {"peak_memory": next(int(each.split()[1]) * 1024 for each in lines if each.startswith("VmHWM"))}
    return found | ({"peak_gpu_memory": torch.cuda.max_memory_allocated()} if torch.cuda.is_initialized() else {})
