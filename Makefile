# Two commands on a fresh machine: `make demo` and `make test`. Both say what they install.

VENV ?= .venv
BIN  := $(VENV)/bin

# Many tests wait for processes more than they compute: one more at a time than there are cores.
JOBS ?= $(shell cores=$$(nproc); echo $$((cores < 7 ? cores + 1 : 8)))

# Rounds of `make explore`.
ROUNDS ?= 5

.PHONY: help demo test check fast engine explore setup-dev clean

help:
	@echo "make demo    install what is needed, run GHZ in a container, show counts, clean up"
	@echo "make test    install what is needed, run every check and test"
	@echo "make check   format, lint, types, layers"
	@echo "make fast    the tests that need no container engine"
	@echo "make engine  the tests on a real Docker Engine, Podman and bubblewrap"
	@echo "make explore property tests and fuzzing with new examples, $(ROUNDS) rounds (ROUNDS=n)"
	@echo "make clean   remove the virtual environment and caches of this checkout"

demo:
	@scripts/demo $(VENV)

setup-dev:
	@scripts/setup $(VENV) dev fast lightning plot qir fuzz

test: setup-dev
	@scripts/system-packages
	@$(MAKE) --no-print-directory check fast engine

check: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Simulators of tests side by side must not spin while they wait for each other's cores.
SIDE_BY_SIDE := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Property tests draw the same examples each time, so that a failure is of the change at hand.
fast: setup-dev
	$(SIDE_BY_SIDE) -m "not engine" --hypothesis-profile=ci

engine: setup-dev
	$(BIN)/python -m pytest -q -m engine --hypothesis-profile=ci

# What this finds is kept in .hypothesis and tried first from then on: mend it, and add it as an example.
explore: setup-dev
	@for round in $$(seq $(ROUNDS)); do \
	    echo "explore: round $$round of $(ROUNDS)"; \
	    QUANTAINER_FUZZ_SEED=0 QUANTAINER_FUZZ_SECONDS=60 \
	        $(SIDE_BY_SIDE) -m "(hypothesis or fuzz) and not engine" || exit 1; \
	done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
