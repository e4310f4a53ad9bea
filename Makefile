# make demo   a daemon, two CAs and two certificates, from nothing, in one go
# make run    the daemon in the foreground, on a private socket below ./.run
# make test   the whole test suite (as root it installs the Debian packages that it needs; JOBS=N files side by side)
# make lint   style, types, import layers
# make bench  this daemon and certmonger measured on the same work, in 50 minutes (BENCH_ARGS=--quick for less)
# make install  for this host, as root (PREFIX=/opt/certmongerd, DESTDIR for packagers); nothing is started
# make fuzz   a million inputs for each reader of strangers' data (FUZZ=TARGETS FUZZ_RUNS=N)
# make fuzz-keep  what it found to reach further becomes part of the tests
# make soak   ten thousand daemons are killed under load, and each twice at every step; nothing may be lost (KILLS=N)
# make deb    a Debian package, in dist/
# make venv   only the virtual environment;  make lock  new pins;  make clean  removes what these made

SHELL := /bin/bash
VENV ?= .venv
PREFIX ?= /opt/certmongerd
BENCH_ARGS ?=
PYTEST_ARGS ?=
JOBS ?= 4
FUZZ ?= scep_reply scep_certificates cms_envelope helper_output state_file dbus_message configuration
FUZZ_RUNS ?= 1000000
KILLS ?= 10000
sources := certmongerd getcert helpers tests scripts bench
python := $(VENV)/bin/python

.PHONY: deb soak fuzz fuzz-keep help venv dev packages demo run test lint format bench lock docs install clean
help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

venv: $(VENV)/.runtime-stamp
dev: $(VENV)/.dev-stamp

$(VENV)/.runtime-stamp: requirements.lock pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(VENV) requirements.lock
	@touch $@

$(VENV)/.dev-stamp: requirements-dev.lock pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(VENV) requirements-dev.lock
	@touch $(VENV)/.runtime-stamp $@

packages:
	@[ -n "$(SKIP_PACKAGES)" ] || scripts/debian-packages.sh

demo: venv
	@$(python) scripts/demo.py

run: venv
	@scripts/run.sh $(VENV)

test: packages dev
	$(python) -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: dev
	@status=0; \
	for check in "ruff check ." "ruff format --check ." "mypy $(sources)" "lint-imports --no-logo"; do \
	    echo "$$check"; $(VENV)/bin/$$check || status=1; \
	done; exit $$status

format: dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench:
	@scripts/venv.sh .bench/installed requirements.lock fixed
	@.bench/installed/bin/python bench/suite.py $(BENCH_ARGS)

docs: venv
	$(python) scripts/state_diagram.py --write

install:
	@scripts/install.sh $(PREFIX) $(DESTDIR)

fuzz: dev
	@$(VENV)/bin/pip install -q --no-deps 'atheris==3.0.0'
	@for target in $(FUZZ); do \
	    $(python) scripts/fuzz.py $$target .fuzz/$$target -runs=$(FUZZ_RUNS) || exit 1; \
	done

fuzz-keep:
	@for target in $(FUZZ); do \
	    rm -f .fuzz/$$target/seed-*; \
	    python3 -m zipfile -c tests/data/fuzz/$$target.zip .fuzz/$$target/* || exit 1; \
	done

soak: dev
	@directory=$$(mktemp -d) && PYTHONPATH=tests $(python) -m crash.run $$directory/load --kills $(KILLS) && \
	    PYTHONPATH=tests $(python) -m crash.run $$directory/databases --kills $$(($(KILLS) / 10)) --databases && \
	    PYTHONPATH=tests $(python) -m crash.run $$directory/processes --kills $$(($(KILLS) / 10)) --processes && \
	    PYTHONPATH=tests $(python) -m crash.steps $$directory/steps --how twice && rm -rf $$directory

deb:
	@scripts/deb.sh

lock:
	scripts/lock.sh

clean:
	rm -rf $(VENV) .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
