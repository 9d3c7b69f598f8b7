# Two commands on a fresh machine: `make demo` and `make test`. Both say what they install.

VENV ?= .venv
BIN  := $(VENV)/bin

# Many tests wait for processes more than they compute: one more at a time than there are cores.
JOBS ?= $(shell cores=$$(nproc); echo $$((cores < 7 ? cores + 1 : 8)))

.PHONY: help demo test check fast engine setup setup-dev clean

help:
	@echo "make demo    install what is needed, run GHZ in a container, show counts, clean up"
	@echo "make test    install what is needed, run every check and test"
	@echo "make check   format, lint, types, layers"
	@echo "make fast    the tests that need no container engine"
	@echo "make engine  the tests on a real Docker Engine, Podman and bubblewrap"
	@echo "make clean   remove the virtual environment and caches of this checkout"

demo:
	@scripts/demo $(VENV)

setup-dev:
	@scripts/setup $(VENV) dev fast lightning plot qir fuzz

test: setup-dev
	@scripts/system-packages
	@$(MAKE) --no-print-directory check fast engine

check:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Simulators of tests side by side must not spin while they wait for each other's cores.
fast:
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q -m "not engine" \
	    -n $(JOBS) --dist loadfile --no-loadscope-reorder

engine:
	$(BIN)/python -m pytest -q -m engine

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
