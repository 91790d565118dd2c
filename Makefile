# Two commands: `make demo` shows the loop, `make test` checks everything. Both set up .venv first.
# Needed: Python >= 3.11 with venv, and a package index. uv comes from there, and makes the rest quick.
#
# `make test` is `make lint`, `make test-dev` (all tests in .venv, which holds every framework, without those that an
# environment repeats) and `make test-adapters` (each adapter in environments of its own, .venvs/NAME;
# `make env NAME=agno-lowest` for one).
#
# `make check` is for while you work: `make lint` and the fast tests, properties with fewer examples. `make test-pythons`
# runs the fast tests on every CPython from 3.11 to 3.14 that it finds.

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/uv pip install -q --compile-bytecode -p $(BIN)/python -c constraints.txt

# Hundreds of processes are started for the tests, and each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check test-dev test-adapters test-pythons env lint bench clean

demo: $(VENV)/.demo
	@$(BIN)/acontext demo

test: lint
	@$(MAKE) --no-print-directory test-dev PYTEST="--elsewhere $(PYTEST)"
	@$(MAKE) --no-print-directory test-adapters

check: lint
	$(BIN)/python -m pytest -q --forks 2 --elsewhere -m "not slow" --hypothesis-profile brief $(PYTEST)

test-pythons: $(VENV)/.dev
	$(BIN)/python -m tests.pythons $(PYTHONS)

test-dev: $(VENV)/.dev
	$(BIN)/python -m pytest --forks 2 $(PYTEST)

test-adapters env: $(VENV)/.dev
	$(BIN)/python -m tests.envs $(NAME)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(VENV)/.demo
	$(BIN)/acontext bench

$(VENV)/bin/uv: | constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found: install one, or call make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/uv
	$(INSTALL) -e ".[openai-agents]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/uv
	$(INSTALL) -e ".[dev]"
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) .venvs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
