PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint bench soak clean

# Sets up and runs Guard with safe defaults: no root, no compiler, nothing blocked.
run: .venv/.run
	@$(BIN)/guard up

# Sets up and runs every test; as root it first installs the Debian packages that tests need.
test: .venv/.test
	$(BIN)/pytest -n auto --dist loadgroup

lint: .venv/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/.test
	$(BIN)/python -m benchmarks

soak: .venv/.test
	$(BIN)/python -m benchmarks.soak

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/.test: .venv/bin/python pyproject.toml constraints.txt tools/system-packages
	tools/system-packages $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch .venv/.run $@
