# make demo     render the demo presenter videos with a voice recording; the results are in ./demo-share
# make test     run the tests; with CI=true also the slow ones and the short form of the fault suite
# make check    run linters and the type checker
# make faults   run the fault suite alone and in full: kills, outages, attacks, fuzzing, 200 jobs of soak (over an hour)
# make bench    run the benchmarks (minutes)
# make formats  render every container and codec, and write the tables of both formats.md (minutes)
# make gpu      run everything that an NVIDIA GPU decides; ./gpu has the figures. WHEELS=folder:
#               with python3, its packages, and the wheels there; needs no network and no root
# make install  only set up the environment: system packages, .venv, heygemd in it
#
# Each target first sets up what it needs on a fresh Debian or Ubuntu. The second time this takes no time.

SHELL := /bin/bash
VENV  ?= .venv
PY    := $(VENV)/bin/python
READY := $(VENV)/.ready

GPU_PACKAGES := build/gpu-packages

.PHONY: demo test faults bench formats gpu check install clean

demo: $(READY)
	$(PY) -m heygemd demo --folder demo-share

test: $(READY)
	$(PY) -m pytest -n 3 --dist worksteal $(if $(CI),-m "not endurance",--ignore tests/faults -m "not slow") $(PYTEST)

faults: export HEYGEMD_FAULTS ?= all
faults: export HEYGEMD_SOAK_JOBS ?= 200
faults: export HEYGEMD_FUZZ_FILES ?= 500
faults: export HEYGEMD_FUZZ_S ?= 60
faults: export HEYGEMD_DISTURBED ?= 60
faults: export HEYGEMD_CRASH_STRIDE ?= 1
faults: export HEYGEMD_QUEUED ?= 1000
faults: export HEYGEMD_STALL_STRIDE ?= 4
faults: export HEYGEMD_SCANS ?= 10000
faults: $(READY)
	$(PY) -m pytest -n 2 --dist worksteal -m fault $(PYTEST)

bench: $(READY)
	@for script in tests/bench/bench_*.py; do \
	  echo "== $$script"; $(PY) -m tests.bench.$$(basename "$$script" .py) || exit 1; \
	done

formats: $(READY)
	$(PY) -m tests.formats

ifdef WHEELS
gpu:
	python3 -m pip install --quiet --no-index --no-deps --upgrade --target $(GPU_PACKAGES) $(WHEELS)/*.whl
	PYTHONPATH=$(CURDIR)/$(GPU_PACKAGES) python3 -m tests.bench.gpu $(GPU)
else
gpu: $(READY)
	$(PY) -m tests.bench.gpu $(GPU)
endif

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
