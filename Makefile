# The daily commands. `make run` and `make test` each do all the set-up they need, inside this folder. What the machine
# must have: Python 3.11 or 3.12, Java 17 or newer, and Maven; or, instead of the latter two, a broker named in
# INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
STEP := infra/step.sh

.PHONY: help run test test-steps test-train chaos audit check format generate install install-dev install-prometheus install-secure-servers install-servers install-train sbom clean

help: ## Show these lines
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 20

run: ## Start everything and watch utterances become intents; Ctrl-C stops it
	@$(STEP) "Installing what serving needs" $(MAKE) install
	@exec infra/foreground.sh $(BIN)/intentstream up

test: ## Check and test everything
	@$(STEP) "make test" $(MAKE) test-steps

test-steps:
	@$(STEP) "Installing what the tests need" $(MAKE) install-dev
	@$(MAKE) check
	@$(STEP) "Tests" $(BIN)/pytest --numprocesses 2 --no-loadscope-reorder $(PYTEST_ARGS)

test-train: ## Test fine-tuning, with torch
	@$(STEP) "Installing torch" $(MAKE) install-train
	@$(STEP) "Tests of fine-tuning" .venv-train/bin/pytest -m train $(PYTEST_ARGS)

chaos: ## Break everything on purpose and check every promise; FAULTS and SEED say how often and in which order
	@$(STEP) "Installing what serving needs" $(MAKE) install
	@$(BIN)/intentstream chaos --faults $(or $(FAULTS),30) $(if $(SEED),--seed $(SEED))

check: ## Lint, formatting, types, arrows of import, generated files
	@$(STEP) "Lint" $(BIN)/ruff check --quiet
	@$(STEP) "Formatting" $(BIN)/ruff format --check --quiet
	@$(STEP) "Types" $(BIN)/mypy
	@$(STEP) "Arrows of import" $(BIN)/lint-imports
	@$(STEP) "Generated files" $(BIN)/python -m infra.generate --check

audit: ## Ask whether a vulnerability is known of anything that serving installs (OSV; AUDIT_SERVICE_URL for another)
	@infra/supply_chain.sh audit

sbom: ## Write what serving is made of to dist/sbom.cdx.json (CycloneDX, from uv.lock)
	@infra/supply_chain.sh sbom dist/sbom.cdx.json

format: ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

generate: ## Write the generated files anew
	@$(BIN)/python -m infra.generate

install: ## Install what serving needs, and not torch
	@infra/install.sh --no-dev --inexact

install-dev: ## Install what the checks and tests need, too
	@infra/install.sh --inexact

install-prometheus: ## Bring Prometheus and promtool, which the tests of alerts ask (Debian's package, 20 MB)
	@infra/prometheus/bring.sh

install-secure-servers: ## Bring a Redis and a Postgres that know TLS, which its tests ask (Debian's packages, 20 MB)
	@tests/servers/bring_secure.sh

install-servers: ## Install the real servers of models and of S3 that some tests ask, apart from all else (torch: several GB)
	@infra/install.sh --project tests/servers/mlserver
	@infra/install.sh --project tests/servers/torchserve
	@infra/install.sh --project tests/servers/s3

install-train: ## Install the extra `train` beside the rest, where the checks do not see it (torch: several GB)
	@UV_PROJECT_ENVIRONMENT=.venv-train infra/install.sh --extra train

clean: ## Remove all that was installed or written here, the embedded servers' data too
	@rm -rf .venv .venv-train .uv tests/servers/*/.venv .intentstream dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
