"""How the method in `ddb` runs on a cluster: Ray Train, Ray Data, the stage graph. No loss and no metric lives here."""

from ray_jobs.cluster import set_environment

set_environment()  # before any module of ours imports torch or ray, which read it once
