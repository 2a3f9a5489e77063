# demo, test, lint, wheel, bench: each a few stock commands in .venv, which the first of them makes.
PYTHON ?= python3
BIN := .venv/bin
export UV_CONSTRAINT := $(CURDIR)/constraints.txt
export HF_HUB_OFFLINE := 1

.PHONY: demo test lint wheel bench built

demo: built                     ## the main job on real text, offline
	$(BIN)/magnetite demo

test: built                     ## everything the project promises
	cargo test --locked
	$(BIN)/pytest

lint: built                     ## formats, lints, types, and the stub against the binary
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest magnetite._core

wheel:                          ## the wheel that users install, in dist/
	$(PYTHON) -m venv .venv && $(BIN)/pip install --quiet uv
	$(BIN)/uv pip install --quiet 'maturin>=1.16,<2'
	$(BIN)/maturin build --release --out dist

bench: built                    ## criterion, then the peers in one run each; minutes
	cargo bench
	$(BIN)/python -m benches.python

# Installs what changed, then compiles what changed.
built: .venv/installed
	VIRTUAL_ENV=.venv $(BIN)/maturin develop --quiet --release --uv

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip install --quiet --requirement pyproject.toml --extra dev
	touch $@
