# Two commands for a newcomer: `make demo` and `make test`. The rest is for those who change the code.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do \
	if $$p -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))' >/dev/null 2>&1; then echo $$p; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STAMP_DEV := $(VENV)/.installed-dev

.PHONY: demo test test-slow bench truth soak check lock clean help

help:
	@echo 'make demo [DATA=folder]  set up, run the whole loop once, print the summary and the report path'
	@echo 'make test                set up, run every test that needs no network'
	@echo 'make test-slow           the longer tests too'
	@echo 'make bench               measure; writes benchmarks/results/latest.json'
	@echo 'make truth               markets whose truth is known: does the gate believe luck, or miss an edge?'
	@echo 'make soak                a simulated day of the loop on a fast clock; writes benchmarks/results/soak.json'
	@echo 'make check               format, lint, types, layers'

$(STAMP): requirements.lock pyproject.toml
	@if [ -z '$(PYTHON)' ]; then echo 'error: Python 3.11, 3.12 or 3.13 is needed and none was found on PATH; install one, or run: make PYTHON=/path/to/python3' >&2; exit 1; fi
	@echo 'Setting up $(VENV) with $(PYTHON): pinned dependencies, once, a few minutes.'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(STAMP_DEV): $(STAMP) requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(STAMP)
	@$(BIN)/python -m crypto_bot.backtest.integrated_cli integrated --once --config config/demo.yaml $(if $(DATA),--data '$(DATA)')

test: $(STAMP_DEV)
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow and not network and not gpu' -q

test-slow: $(STAMP_DEV)
	@$(BIN)/python -m pytest -m 'not network and not gpu'

bench: $(STAMP_DEV)
	@$(BIN)/python -m benchmarks

truth: $(STAMP_DEV)
	@$(BIN)/python -m benchmarks.truth

soak: $(STAMP_DEV)
	@$(BIN)/python -m benchmarks.soak

check: $(STAMP_DEV)
	@scripts/check

# Needs uv; no index address is written into a lock.
lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --no-emit-index-url --no-header -q --generate-hashes -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --no-emit-index-url --no-header -q --generate-hashes -o requirements-dev.lock

clean:
	rm -rf $(VENV)
