# User Whisperer. `make` alone lists what there is to make; nothing here needs root.

PYTHON ?= python3
PORT ?= 8000
DATA_DIR ?= ./var
VENV := .venv
BIN := $(VENV)/bin
IN_PARALLEL := tests/unit tests/contracts tests/statistical tests/fuzz tests/audit
ONE_BY_ONE := tests/integration tests/load tests/faults tests/e2e
CHECKED := whisperer actors serve_apps training cluster tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install lock run up down status test coverage lint audit format bench clean python-is-usable

help:  ## list the targets
	@echo "User Whisperer"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Variables: PORT=$(PORT) DATA_DIR=$(DATA_DIR) PYTHON=$(PYTHON)"

install: $(VENV)/.installed  ## make .venv with everything the lock file pins

# One stamp a step, so that a changed lock does not make the environment anew, and nothing is done twice.
$(VENV)/.made:
	@$(MAKE) --no-print-directory python-is-usable
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.locked: requirements.lock $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.lock
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.locked
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -m whisperer.warm
	@touch $@

python-is-usable:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: there is no $(PYTHON). Install Python 3.11, 3.12 or 3.13, or name it: make install PYTHON=/path/to/python3.12"; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); 3.11, 3.12 or 3.13 is needed: make install PYTHON=/path/to/python3.12"; \
	  exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "error: $(PYTHON) lacks the modules venv and ensurepip. On Debian and Ubuntu they are the package python3-venv"; \
	  echo "       (apt install python3-venv); without root, name another Python: make install PYTHON=/path/to/python3.12"; \
	  exit 1; }

# rfc3987-syntax, which only checks that an SBOM's addresses are well formed, makes each process of Ray import a grammar
# for 1.5 s (jsonschema loads it wherever it is installed): it and its parser stay out.
lock: $(VENV)/.made pyproject.toml  ## pin today's versions of all dependencies in requirements.lock
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/python -m uv pip compile --quiet --universal --upgrade --python-version 3.11 --no-emit-index-url --no-header \
	  --no-emit-package pip --no-emit-package rfc3987-syntax --no-emit-package lark --extra dev pyproject.toml --output-file requirements.lock
	@! grep -nE '^torch|://' requirements.lock || { echo "error: the lock must name neither torch nor an index"; exit 1; }

run: install  ## start with the demo on http://127.0.0.1:PORT; Ctrl-C stops, state stays in DATA_DIR
	@exec $(BIN)/whisperer up --foreground --demo --port $(PORT) --data-dir $(DATA_DIR)

up: install  ## the same in the background, without the demo
	@$(BIN)/whisperer up --port $(PORT) --data-dir $(DATA_DIR)

down: install  ## stop what runs in DATA_DIR
	@$(BIN)/whisperer down --data-dir $(DATA_DIR)

status: install  ## show what runs in DATA_DIR
	@$(BIN)/whisperer status --data-dir $(DATA_DIR)

# Exit code 5: ARGS selected none of these.
test: lint audit  ## what `make lint` and `make audit` check, then all tests; ARGS="-k name" selects some
	@$(BIN)/python -m pytest --numprocesses auto $(IN_PARALLEL) $(ARGS) || [ $$? -eq 5 ]
	@$(BIN)/python -m pytest $(ONE_BY_ONE) $(ARGS) || [ $$? -eq 5 ]

coverage: install  ## the tests' branch coverage, subprocesses and Ray's workers included (over an hour)
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest --numprocesses auto $(IN_PARALLEL) $(ARGS) || [ $$? -le 5 ]
	@$(BIN)/python -m coverage run -m pytest $(ONE_BY_ONE) $(ARGS) || [ $$? -le 5 ]
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

lint: install  ## format and style (ruff), types (mypy), layers (import-linter)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports

# Exit code 4: no advisory service can be reached, and the advisories in tests/audit, which had to do, know of nothing bad.
audit: install  ## insecure code (bandit), secrets (detect-secrets), known holes (pip-audit); writes build/sbom.cdx.json
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(CHECKED) docs examples
	$(BIN)/python -m tests.audit secrets
	$(BIN)/python -m tests.audit advisories || [ $$? -eq 4 ]
	$(BIN)/python -m tests.audit sbom

format: install  ## let ruff rewrite the code
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/ruff check --fix $(CHECKED)

bench: install  ## list the benchmarks; BENCH=name runs one
	@$(BIN)/whisperer bench $(BENCH) $(ARGS)

clean:  ## remove the environment and caches; state in DATA_DIR stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
