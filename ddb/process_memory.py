"""How much memory the processes of a run take before they train anything.

Resident bytes, measured on Linux with Ray 2.60 and PyTorch on CPU, shared pages included: sums err to the safe side.
"""

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
