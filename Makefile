# `make help` lists the targets. On a fresh Debian or Ubuntu each installs what it lacks.

# Outside the checkout, so that a fresh clone builds from what an earlier one left.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/caudal/target
# Stripe's stand-in, for the tests; what is not there is installed.
export CAUDAL_TEST_STRIPE_MOCK ?= $(HOME)/.cache/caudal/go/bin/stripe-mock
# Where rustup puts cargo, for shells that have not read its profile.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help run test bench chaos lint

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: ## Build Caudal and start it on the embedded default; it prints its URL, key and logins
	@xtask/setup.sh run
	cargo build --release --package caudal
	@exec "$(CARGO_TARGET_DIR)/release/caudal" serve

# What the compiler would keep for the next build costs the first one a fifth of its time for our own
# crates. What cargo builds without this is built apart.
test: export CARGO_INCREMENTAL ?= 0
test: ## Every test, against real servers on private ports; a line per suite at the end
	@xtask/setup.sh test
	cargo xtask ci

bench: ## pgbench and Caudal on PostgreSQL and SQLite, side by side, into bench/results
	@xtask/setup.sh bench
	cargo xtask bench

chaos: ## The long runs in which servers are killed
	@xtask/setup.sh test
	cargo xtask chaos

lint: ## Format, clippy, tidy, deny
	cargo xtask lint
