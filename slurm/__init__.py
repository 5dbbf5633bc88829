"""A private Ray cluster inside a SLURM job: start it, run one `ddb` command, requeue if interrupted, clean up.

`ddb.sbatch` is the batch script. It runs `job`, which starts `node` on every node of the job. Nothing here imports
torch, and only `ready` imports Ray.
"""
