# The commands of this tree. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO ?= cargo
# More for `haetae up`, for example: make run ARGS="--data-dir /srv/haetae"
ARGS ?=

.PHONY: help run test test-fast check fmt bench setup

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{ printf "  make %-10s %s\n", $$1, $$2 }'

setup: ## Install what the system lacks to run and test
	@scripts/setup test

run: ## Build, and start everything with demo data on http://localhost:8080
	@scripts/setup run
	@$(CARGO) build --release --bin haetae
	@exec "$${CARGO_TARGET_DIR:-target}/release/haetae" up --demo $(ARGS)

test: ## All tests: units, end to end on SQLite and PostgreSQL, browser, interoperability, faults
	@scripts/setup test
	@scripts/test

test-fast: ## The unit tests alone: no Redis, no database server, no browser
	@$(CARGO) test --workspace --exclude haetae-tests

check: ## What CI refuses: format, lints, documentation links, licences and sources of dependencies
	@scripts/setup run
	@scripts/check

fmt: ## Format the tree
	@$(CARGO) fmt --all

bench: ## Measure against nginx, HAProxy, Envoy and oidc-provider; writes docs/benchmarks.md
	@scripts/setup bench
	@tests/bench/run $(ARGS)
