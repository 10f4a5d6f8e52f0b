# Needs make and Python >= 3.11; every target sets up what it needs in .venv.
#   make demo                          a first look
#   make test                          lint, types and the tests that are not marked slow; ARGS goes to pytest
#   make test-all                      the slow ones too, and the proof of every optimal solution is replayed
#   make PYTHON=python3.12 test        another interpreter (after rm -rf .venv)

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
# a process a core, each with one thread: small matrices are slower on more
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-all bench docs lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/with-plot,torch
	@$(BIN)/cellsolve demo $(ARGS)

test: lint
	@$(PYTEST) -m "not slow" $(ARGS)

test-all: lint
	@$(PYTEST) --verify $(ARGS)

lint: $(VENV)/with-test
	@$(BIN)/ruff check .
	@$(BIN)/python -m mypy

bench: export OMP_NUM_THREADS = 1
bench: $(VENV)/with-bench
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

docs: $(VENV)/with-docs
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	@rm -rf build dist docs/_build docs/generated docs/gallery .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# The package itself, editable, with the extras that the name of the stamp lists.
$(VENV)/with-%: $(VENV)/base
	@echo "Installing cellsolve[$*] into $(VENV) ..."
	@$(PIP) -e ".[$*]"
	@touch $@

# torch goes first, alone and exactly pinned: a looser request can replace it by another build of several gigabytes.
$(VENV)/base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "cellsolve needs Python >= 3.11, but '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing)." >&2; \
	  echo "Name another interpreter: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV) (the first time takes a few minutes) ..."
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(PIP) "$$(grep '^torch==' constraints.txt)"
	@touch $@
