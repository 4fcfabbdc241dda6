# make demo    see a real presenter's video say a new voice recording (ends by itself; results in ./demo-share)
# make test    the tests; with CI=true the slow ones too, and the fault suite's short form
# make check   linters and types
# make faults  the fault suite alone and at full length: kills, outages, attacks, fuzzing, a soak of 200 jobs (an hour and more)
# make bench   measurements (minutes)
# make install only the environment: system packages, .venv, heygemd in it
#
# Every target sets up what it needs on a fresh Debian or Ubuntu; the second time that takes no time.

SHELL := /bin/bash
VENV  ?= .venv
PY    := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: demo test faults bench check install clean

demo: $(READY)
	$(PY) -m heygemd demo --folder demo-share

test: $(READY)
	$(PY) -m pytest -n 2 --dist worksteal $(if $(CI),-m "not endurance",--ignore tests/faults -m "not slow") $(PYTEST)

faults: export HEYGEMD_FAULTS ?= all
faults: export HEYGEMD_SOAK_JOBS ?= 200
faults: export HEYGEMD_FUZZ_FILES ?= 500
faults: export HEYGEMD_FUZZ_S ?= 60
faults: export HEYGEMD_CRASH_STRIDE ?= 1
faults: export HEYGEMD_QUEUED ?= 1000
faults: $(READY)
	$(PY) -m pytest -n 2 --dist worksteal -m fault $(PYTEST)

bench: $(READY)
	@for script in tests/bench/bench_*.py; do \
	  echo "== $$script"; $(PY) -m tests.bench.$$(basename "$$script" .py) || exit 1; \
	done

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

install: $(READY)

$(READY): pyproject.toml .ci/setup
	.ci/setup "$(VENV)"
	@touch $@

clean:
	rm -rf "$(VENV)" build dist demo-share .mypy_cache .ruff_cache .pytest_cache
