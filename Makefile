# EduRise. `make` lists what there is to do; every target builds what it needs.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install install-dev run test check types bench format lock clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.runtime ## Build .venv with what the product runs on, from requirements.lock

install-dev: .venv/.dev ## Build .venv with what tests and checks need on top

run: .venv/.runtime ## Start everything in one process on an embedded database; PORT=8000 chooses
	@exec $(BIN)/python run.py all

test: .venv/.dev ## Run the whole suite on the services found here; ARGS="-k story"
	$(BIN)/python -m pytest $(ARGS)

check: .venv/.dev ## Lint, format, types, layers and the rules of docs/architecture.md
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture

bench: .venv/.dev ## Measure and print ratios; ARGS="--only NAME --json FILE"
	$(BIN)/python -m benchmarks $(ARGS)

format: .venv/.dev ## Sort imports, fix what ruff can fix, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Resolve requirements*.in again into the lock files (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" requirements.in -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" -c requirements.lock requirements-dev.in -o requirements-dev.lock

clean: ## Remove .venv and caches; the data in .data stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.runtime: requirements.lock
	@PYTHON=$(PYTHON) sh deploy/install.sh requirements.lock $@

.venv/.dev: requirements-dev.lock
	@PYTHON=$(PYTHON) sh deploy/install.sh requirements-dev.lock $@
	@touch .venv/.runtime
