# GNU make, on Linux and macOS.  Everything happens in .venv, which is made on demand and
# reinstalled only when pyproject.toml is newer than the last installation.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help install serve test check format bench docs wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  ARGS=\"…\" is passed on:  make serve ARGS=\"--port 5007\"   make test ARGS=\"-k cli\""
	@echo "  PYTHON=python3.12 chooses the Python that .venv is made from."

install: $(VENV)/.installed ## make .venv and install vizcore into it

serve: $(VENV)/.installed ## start the dashboard and open it in the browser
	$(BIN)/vizcore serve --show $(ARGS)

test: $(VENV)/.dev ## install what tests need and run them
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff format and repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## measure, as a table and as benchmarks/results.json
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.installed ## write docs/reference.md anew
	$(BIN)/python -m vizcore.reference --write docs/reference.md

wheel: $(VENV)/.dev ## build dist/vizcore-….whl
	$(BIN)/python -m pip wheel . --no-deps --quiet --wheel-dir dist

clean: ## remove the environment, caches and build results (not your runs)
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys' 2>/dev/null || { echo "There is no '$(PYTHON)'. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3 …" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "vizcore needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name a newer one: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python cannot make environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed
