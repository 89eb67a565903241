# `make` sets everything up in .venv; `make demo` shows it; `make help` lists the rest.
# Needs Python 3.11 or newer (PYTHON=python3.12 picks one), git and make. ARGS= is passed on; JOBS= tests run at a time.

PYTHON ?= python3
ARGS ?=
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := setup
.PHONY: help setup tools system demo up test chaos lint types bench lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1  /p' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## the virtual environment with what Weft runs on

tools: $(VENV)/.tools ## and with what checks it

system: ## what the tests need of the machine: MariaDB's server (Debian and Ubuntu, as root)
	@command -v mariadbd >/dev/null || test -x /usr/sbin/mariadbd || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mariadb-server-core; } >/dev/null

demo: setup ## a narrated tour: push, webhook, run, new version, revert (ARGS=--exit ends by itself)
	@$(BIN)/weft demo $(ARGS)

up: setup ## the service, keeping its data in the data folder
	@$(BIN)/weft up $(ARGS)

test: tools ## the test suite on real PostgreSQL, Valkey, Git and HTTP
	@$(BIN)/python -m pytest -m "not chaos" -n $(JOBS) --dist loadfile $(ARGS)

chaos: tools ## the tests that kill processes or load them
	@$(BIN)/python -m pytest -m chaos $(ARGS)

lint: tools ## ruff: rules and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: tools ## mypy, strict
	@$(BIN)/mypy $(ARGS)

bench: tools ## the measured claims
	@$(BIN)/python -m bench $(ARGS)

lock: tools ## requirements.lock and requirements-dev.lock anew (ARGS=--upgrade for newer versions)
	@.ci/lock $(BIN)/python $(ARGS)

clean: ## forget the environment and all caches; the data folder stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

# Stamps: each step runs once, and again when what it stands on has changed.
$(VENV)/.made:
	@command -v git >/dev/null || { echo "git is missing: install it, then run make again" >&2; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or newer, or run make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), too old: run make PYTHON=python3.11 (or newer)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv module: install it (Debian and Ubuntu: apt install python3-venv), then run make again" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made requirements.lock pyproject.toml
	@echo "Installing the packages of requirements.lock"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.tools: $(VENV)/.installed requirements-dev.lock
	@echo "Installing the tools of requirements-dev.lock"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
