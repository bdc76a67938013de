# Quorumkit. `make` lists what there is.

# The first Python on PATH that is new enough.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
DIR ?= mynet
N ?= 5
PYTEST_ARGS ?=
BENCH_ARGS ?=

bin := .venv/bin
# The same options every time, so that a lock differs only where a version does. No index is written into it.
compile := $(bin)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header

.PHONY: help up down test bench lint format lock contracts protocol docs release setup setup-dev

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

up: setup ## Start five nodes in ./mynet and verify them (N=5 DIR=mynet)
	@$(bin)/quorumkit up -n $(N) --verify $(DIR)

down: setup ## Stop them; their chain and keys stay
	@$(bin)/quorumkit down $(DIR)

test: setup-dev ## Run all tests (PYTEST_ARGS="-k verify")
	@$(bin)/python -m pytest $(PYTEST_ARGS)

bench: setup-dev ## Measure everything; prints the rows of benchmarks/README.md (BENCH_ARGS=up)
	@$(bin)/python benchmarks/all.py $(BENCH_ARGS)

lint: setup-dev ## Check style and types
	@$(bin)/ruff check
	@$(bin)/ruff format --check
	@$(bin)/mypy
	@for each in $$(find tests -name conftest.py); do $(bin)/mypy --no-error-summary $$each || exit; done
	@$(bin)/lint-imports --no-logo --cache-dir .mypy_cache/imports

format: setup-dev ## Mend style
	@$(bin)/ruff check --fix
	@$(bin)/ruff format

docs: setup-dev ## Write the generated reference pages again
	@$(bin)/python scripts/reference.py
	@$(bin)/python scripts/chart_readme.py

lock: setup-dev ## Write the lock files again (LOCK_ARGS=--upgrade for newer versions)
	@$(compile) $(LOCK_ARGS) pyproject.toml --group build --output-file requirements.lock
	@$(compile) $(LOCK_ARGS) pyproject.toml --group build --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock

protocol: setup-dev ## Generate the code for CometBFT's application interface again
	@$(bin)/python scripts/abci_protocol.py

contracts: ## Compile the contracts again (needs Node.js)
	@cd src/quorumkit/contracts && npx --yes --package solc@0.8.28 -- node compile.mjs
	@cd src/quorumkit/engines/bft/validators && npx --yes --package solc@0.8.37 -- node compile.mjs

release: setup-dev ## Check what is about to be released (TAG=v0.1.0)
	@$(bin)/python scripts/release.py $(if $(TAG),--tag $(TAG))

setup: # what `up` needs
	@$(call set_up)

setup-dev: # what `test` and `lint` need
	@$(call set_up,--dev)

define set_up
test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer on PATH; name one: make PYTHON=/path/to/python" >&2; exit 1; }; \
	$(PYTHON) scripts/setup.py $(1)
endef
