# Every way to build, run and check this repository. `make` alone lists them.
# One Cargo profile (release) serves all of them, so that RocksDB is compiled once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

CARGO ?= cargo
FLAGS := --release --locked
CONF ?= config/placement-center.toml
# The documentation is for those who work on the code: it shows private items and may link to them.
RUSTDOC_LINTS := -D warnings --allow rustdoc::private_intra_doc_links
SCRIPTS := $(wildcard bin/*.sh tests/*.sh .ci/run)

.PHONY: help setup build run cluster cluster-stop test check fix bench deny clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install what the build needs (Debian); nothing to do, nothing done
	@bin/setup.sh

build: setup ## build the binaries into target/release
	@$(CARGO) build $(FLAGS) --package cmd --bins

run: setup ## start one node; ARGS="--grpc-port=9000" adds flags, CONF=FILE names another configuration
	@$(CARGO) run $(FLAGS) --package cmd --bin placement-center -- --conf=$(CONF) $(ARGS)

cluster: build ## start three nodes on this machine, in the background
	@bin/cluster.sh start

cluster-stop: ## stop them; their data stays
	@bin/cluster.sh stop

test: setup ## run every test; ARGS=name runs those whose name contains it
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    $(CARGO) test $(FLAGS) --workspace --doc --quiet $(ARGS); \
	    $(CARGO) nextest run $(FLAGS) --workspace $(ARGS); \
	else \
	    $(CARGO) test $(FLAGS) --workspace --no-fail-fast $(ARGS); \
	fi

check: setup ## formatting, lints, documentation, shell scripts; writes nothing
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy $(FLAGS) --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="$(RUSTDOC_LINTS)" $(CARGO) doc $(FLAGS) --workspace --no-deps --document-private-items --quiet
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); else echo "check: no shellcheck here, scripts not checked"; fi

fix: setup ## format, and repair what the lints can repair; writes
	@$(CARGO) fmt --all
	@$(CARGO) clippy $(FLAGS) --workspace --all-targets --fix --allow-dirty --allow-staged
	@$(CARGO) fmt --all

bench: setup ## measure against etcd, print the table of docs/benchmarks.md; ARGS="--quick" for a short look
	@$(CARGO) bench --profile release --locked --bench compare -- $(ARGS)

deny: ## licences, sources and advisories of the dependencies
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	    $(CARGO) deny --locked --workspace --config .deny.toml check; \
	else \
	    echo "deny: cargo-deny is not installed; \`cargo install cargo-deny --locked\` installs it"; exit 1; \
	fi

clean: ## remove the build output
	@$(CARGO) clean
