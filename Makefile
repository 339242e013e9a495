# Two commands need nothing but Python >= 3.11, pip and make: `make demo` and `make test`.
# PYTHON= picks another interpreter; .venv is then made anew for it.
PYTHON ?= $(if $(wildcard .venv/.pins),.venv/bin/python,python3)
VERSION := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())')
BIN := .venv/bin
READY := .venv/.package
BENCHMARKS := kernel processes digest limits models agents tools streams caches memories workflows provider_server
DOCUMENTS := README.md CHANGELOG.md CONTRIBUTING.md docs messages actors runtime

.DELETE_ON_ERROR:
.PHONY: demo demos docs test fmt lint type bench soak

demo: $(READY)  ## digest the project's own documents
	@mkdir -p build
	$(BIN)/understudy run demos/digest.toml $(DOCUMENTS) > build/digest.md
	@echo "the digest is in build/digest.md"

demos: $(READY)  ## try every claim of the guide (MODEL=... asks a real model); writes docs/claims.md
	@mkdir -p build
	$(BIN)/python demos/report.py $(if $(MODEL),--model $(MODEL) --out build/claims.md,--out docs/claims.md)

test: lint type  ## everything that CI checks
	$(BIN)/pytest -n auto --dist loadfile

docs: $(READY)  ## the reference, from the docstrings
	$(BIN)/python docs/write_reference.py

bench: $(READY)  ## the figures of docs/performance.md
	for what in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$what; done

soak: $(READY)  ## what takes longer than a test run: every simulated seed, ten minutes at full load, a million faults and answers
	for what in pool supervisor mailbox stage flows; do $(BIN)/python -m benchmarks.simulation --what $$what --seeds 10000 || exit 1; done
	$(BIN)/python -m benchmarks.soak --minutes 10
	$(BIN)/python -m benchmarks.faults --requests 1000000 --workers 256

fmt: $(READY)  ## format, and repair what ruff can repair
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: $(READY)  ## format, style and import directions; ruff follows no links and sees the real folders
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports

type: $(READY)  ## mypy over everything, basedpyright over the public surface
	$(BIN)/mypy src tests $(wildcard demos/*.py) && $(BIN)/basedpyright --pythonpath $(BIN)/python

# Three stamps, so that each change repeats no more than it must.
.venv/.python-$(VERSION):
	@$(PYTHON) -c 'import sys; sys.exit("understudy needs Python 3.11 or newer: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/.pins: requirements/pins.txt .venv/.python-$(VERSION)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/pins.txt
	@touch $@

$(READY): pyproject.toml .venv/.pins
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@
