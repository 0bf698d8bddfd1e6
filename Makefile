# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. Everything that is needed is installed by `make setup`, which the
# other targets run by themselves: system libraries by apt-get (as root), the rest into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
SCALE ?= 1
APT := gcc libc6-dev make pkg-config libzstd-dev libxxhash-dev libssl-dev \
       python3 python3-dev python3-venv
C_SOURCES := $(shell find csrc -name '*.[ch]' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup build demo test check torture test-c asan tsan fuzz bench lint types \
        notebooks bare clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# ------------------------------------------------------------------ setting up

.venv/.system:
	@mkdir -p $(VENV)
	@tools/system-packages $(APT)
	@touch $@

.venv/.python: .venv/.system pyproject.toml
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check --upgrade pip setuptools wheel 'numpy>=2.0'
	@$(PY) tools/dependencies.py test | xargs -d '\n' $(BIN)/pip install -q --disable-pip-version-check
	@touch $@

.venv/.built: .venv/.python setup.py $(C_SOURCES)
	@echo "building lambdaarch"
	@$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

.venv/.check: .venv/.python
	@tools/system-packages debootstrap
	@$(PY) tools/dependencies.py check | xargs -d '\n' $(BIN)/pip install -q --disable-pip-version-check
	@touch $@

setup: .venv/.python ## system libraries and the Python packages of the tests
build: .venv/.built ## the package, into .venv

# --------------------------------------------------------------- the two promises

demo: build ## a shop's orders: history, live stream, batch runs, one merged answer, and the proof
	@$(PY) -m examples.shop.demo $(ARGS)

test: build ## the newcomer's tests (at most five minutes)
	@$(PY) -m pytest -q tests $(ARGS)

# ------------------------------------------------------------------------- more

check: .venv/.check ## all of the above, lint, types, C tests, sanitizers, longer laws (<= 30 min)
	@tools/check

test-c: .venv/.system ## the core's own tests
	@$(MAKE) -s -C csrc test BUILD=release

asan: .venv/.system ## the core's tests with address and undefined-behaviour sanitizers
	@$(MAKE) -s -C csrc test BUILD=asan

tsan: .venv/.system ## the core's threads under the thread sanitizer
	@$(MAKE) -s -C csrc test BUILD=tsan

fuzz: .venv/.system ## every decoder, SECONDS each (default 10)
	@$(MAKE) -s -C csrc fuzz

torture: build .venv/.check ## for hours: every suite at its largest scale
	@LA_TEST_SCALE=100 $(MAKE) -s -C csrc test BUILD=release
	@$(MAKE) -s -C csrc fuzz SECONDS=600
	@LAMBDAARCH_TEST_SCALE=100 $(PY) -m pytest -q tests

lint: .venv/.check ## ruff, clang-format, layers, house rules
	@tools/lint

types: .venv/.check build ## mypy --strict, and the stubs against the built module
	@$(BIN)/mypy lambdaarch
	@$(PY) -m mypy.stubtest lambdaarch._core --mypy-config-file pyproject.toml

notebooks: build ## run the notebooks and examples
	@$(PY) -m pytest -q tests/examples

bench: build .venv/.check ## lambdaarch beside its peers, as ratios
	@$(PY) benchmarks/recompute.py $(ARGS)
	@$(PY) benchmarks/append.py $(ARGS)

bare: ## the README's two commands in a bare Debian root (needs root and debootstrap)
	@tools/bare-debian

clean: ## remove what was built; .venv stays
	@rm -rf build lambdaarch/*.so lambdaarch/__pycache__ *.egg-info .venv/.built
