# Everything that a contributor types; `make help` lists it. Each target that needs the environment sets it up first.
PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
STAMP := .venv/.installed
# Run in a process of their own: a reader's shell shares no Ray and no variables with other tests.
PRINTED := tests/test_printed_commands.py
export OMP_WAIT_POLICY := PASSIVE
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help setup demo test test-ray test-without-ray test-all constraints lint format clean
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP)  ## install everything into .venv (Python 3.10 or newer; PYTHON=... chooses it)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "error: Python 3.10 or newer is needed; name one with: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q uv==$(UV_VERSION)
	DS_BUILD_OPS=0 $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup  ## the paper's argument on this machine, in minutes (SETTINGS='key=value ...' changes it)
	$(BIN)/ddb demo $(SETTINGS)

# Tests with Ray mostly wait for processes to start, so they and the others run side by side.
test: setup  ## run the tests of every change (under 8 minutes on 2 cores)
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target test-ray test-without-ray

test-ray: setup
	$(BIN)/python -m pytest -q -m "not slurm and not long" tests/ray_jobs

test-without-ray: setup
	$(BIN)/python -m pytest -q -m "not slurm and not long" tests --ignore=tests/ray_jobs

test-all: setup  ## run all tests (SLURM jobs as root; Debian: apt-get install slurmctld slurmd slurm-client munge)
	$(BIN)/python -m pytest -q -m "not slurm" --ignore=$(PRINTED)
	$(BIN)/python -m pytest -q $(PRINTED)
	$(BIN)/python -m pytest -q -m slurm

constraints: setup  ## pin current versions of everything, for every Python from 3.10 on
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.10 --extra dev \
		--no-annotate --no-header -o constraints.txt pyproject.toml

lint: setup  ## check rules, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

format: setup  ## rewrite files in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove .venv and caches; results in runs/ stay
	rm -rf .venv .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
