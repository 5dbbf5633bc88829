"""How a Ray cluster appears inside a SLURM allocation, runs one command and goes away again.

`ddb.sbatch` is the script that people submit; `job` runs in its batch step, `node` on every node of the allocation.
Nothing here imports torch or Ray, except `ready`, which asks Ray whether everyone is there.
"""
