# `make demo` and `make test` need nothing but Python 3.11 or newer with its venv module; everything else is installed
# into .venv, with the versions and hashes of the lock files.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
CODE := src tests benchmarks
ARGS ?=

# The first Python that is new enough; `make PYTHON=/path/to/python demo` takes another one.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

# A folder that was moved or copied gets its .venv built anew: it holds absolute paths.
ifneq ($(wildcard $(VENV)/.built-in),)
ifneq ($(shell cat $(VENV)/.built-in),$(CURDIR))
$(shell rm -rf $(VENV))
endif
endif

.PHONY: help demo test check bench soak services clean

help:
	@echo "make demo   a network of three sites on this machine, with real work (ARGS=--once ends with it)"
	@echo "make test   installs the services the tests need and runs all of them"
	@echo "make check  style, types, import contracts"
	@echo "make bench  measures speed and writes benchmarks/RESULTS.md"
	@echo "make soak   the long runs: the simulation, property tests on new examples, sixteen killed writers of the ledger"
	@echo "make clean  removes what the others made"

demo: $(VENV)/.runtime
	@$(PY) -m suanwang.cli demo $(ARGS)

test: $(VENV)/.dev services
	$(PY) -m pytest -n 2 --dist loadgroup --cov --cov-report=term $(ARGS)

check: $(VENV)/.dev
	$(PY) -m ruff check $(CODE)
	$(PY) -m ruff format --check $(CODE)
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/.dev
	$(PY) -m benchmarks $(ARGS)

soak: $(VENV)/.dev
	SUANWANG_SOAK=1 $(PY) -m pytest -n 2 --dist loadgroup --timeout 0 tests/simulation tests/property tests/services/test_ledger_writers.py $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.built-in:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Suanwang needs Python 3.11 or newer, and none was found as python3, python3.14 … python3.11." >&2; \
		echo "On Debian or Ubuntu: apt-get install python3 python3-venv; or say which: make PYTHON=/path/to/python demo" >&2; \
		exit 1; fi
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) lacks its venv module. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; fi
	$(PYTHON) -m venv --clear $(VENV)
	@# The package is used where it lies: one line in .venv names its folder, and no build tool is needed for that.
	@echo "$(CURDIR)/src" > "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/suanwang.pth"
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m suanwang.cli "$$@"\n' > $(VENV)/bin/suanwang
	@chmod +x $(VENV)/bin/suanwang
	@echo "$(CURDIR)" > $@

# Modules are compiled as they are first imported: most of them never are.
$(VENV)/.runtime: requirements.lock | $(VENV)/.built-in
	$(PY) -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(VENV)/.built-in
	$(PY) -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# What the service and browser tests start themselves. A missing one fails CI (SUANWANG_REQUIRE_SERVICES=1) and skips here.
PROGRAMS := slurmctld slurmd sbatch slurmrestd munged chromium
PACKAGES := slurm-wlm slurmrestd slurm-wlm-jwt-plugin munge chromium fonts-noto-cjk
services:
	@missing=""; \
	for program in $(PROGRAMS); do PATH="$$PATH:/usr/sbin:/sbin" command -v "$$program" >/dev/null || missing+=" $$program"; done; \
	compgen -G '/usr/lib/*/slurm*/auth_jwt.so' >/dev/null || missing+=" auth_jwt.so"; \
	compgen -G '/usr/share/fonts/*/noto/NotoSansCJK*' >/dev/null || missing+=" fonts-noto-cjk"; \
	[ -n "$$missing" ] || exit 0; \
	echo "missing for the service tests:$$missing"; \
	sudo=""; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
	if command -v apt-get >/dev/null && $$sudo true 2>/dev/null; then \
		$$sudo apt-get update -qq && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null && exit 0; \
	fi; \
	echo "install them to run these tests: apt-get install $(PACKAGES)" >&2; \
	[ -z "$${SUANWANG_REQUIRE_SERVICES:-}" ]
