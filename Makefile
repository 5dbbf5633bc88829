# make test   set up .venv and run all tests        make lint   ruff: rules and formatting
# make format rewrite files in the house style      make clean  remove .venv
PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
export OMP_WAIT_POLICY := PASSIVE
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: setup test lint format clean
setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed (PYTHON=...)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q uv==$(UV_VERSION)
	DS_BUILD_OPS=0 $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[dev]'
	touch $@

test: setup
	$(BIN)/python -m pytest -q

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv
