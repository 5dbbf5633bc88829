"""`python -m ray_jobs.cli`: the same as `ddb`, for jobs submitted to a Ray cluster."""

from ray_jobs.cli import main

main()
