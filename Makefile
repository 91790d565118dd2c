# Two commands: `make demo` shows the loop, `make test` checks everything. Both set up .venv first.
# Needed: Python >= 3.11 with venv, and a package index. uv is used where it is installed, pip elsewhere.

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL = $(if $(shell command -v uv 2>/dev/null),uv pip install -q --compile-bytecode -p $(BIN)/python,$(BIN)/python -m pip install -q --disable-pip-version-check)

.PHONY: demo test lint bench clean

demo: $(VENV)/.demo
	@$(BIN)/acontext demo

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(VENV)/.demo
	$(BIN)/acontext bench

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found: install one, or call make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -c constraints.txt -e ".[openai-agents]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -c constraints.txt -e ".[openai-agents,dev]"
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
