# `make help` lists the targets. Needs Python >= 3.11 and make; the rest is brought along.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

PYTHON ?= python3
UV_BOOTSTRAP := .uv-bootstrap
# uv from PATH where there is one that works, else our own in a folder here: no root, no PEP 668 in the way.
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo $(UV_BOOTSTRAP)/bin/uv)
RUN := $(UV) run --frozen --no-sync
PYTEST := $(RUN) pytest
KEEP ?= 1
export UV_PROJECT_ENVIRONMENT ?= .venv
# Where it is set, each of the thousands of processes compiles all of Airflow and Ray anew: half of their time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.PHONY: demo
demo: java ## real flights through Spark, Feast, Ray and MLflow, in Airflow's UI; KEEP=0 ends with the run's outcome
	@$(UV) sync --frozen --quiet --inexact --no-default-groups --group demo
	exec $(RUN) python scripts/demo.py --keep=$(KEEP)

.PHONY: check
check: env lint ## format, lint, types, layers, unit and architecture tests, simulation: under 3 minutes
	@$(PYTEST) -q -m "not full" $(QUICK)

.PHONY: lint
lint: env
	@$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) lint-imports

.PHONY: test
test: env java chromium postgres lint ui-check ## everything that ends within half an hour, quick tests first
	@$(PYTEST) -m "not full" $(QUICK)
	$(PYTEST) -m "not full" $(CONTRACT)
	AIR_REQUIRE="$(BEFORE_TORCH)" $(PYTEST) -m "not full" $(SUITES)
	$(MAKE) --no-print-directory kube
	$(PYTEST) -m "not full" $(KUBERNETES)
	$(MAKE) --no-print-directory torch-tests MARKED="not full"

.PHONY: test-full
test-full: env java chromium postgres lint ui-check ## what takes longer too
	@$(PYTEST) $(QUICK)
	$(PYTEST) $(CONTRACT)
	AIR_REQUIRE="$(BEFORE_TORCH)" $(PYTEST) $(SUITES)
	$(MAKE) --no-print-directory kube
	$(PYTEST) $(KUBERNETES)
	$(MAKE) --no-print-directory torch-tests

# Gigabytes, so neither in the lock nor in the environment of the tests before: the next `make env` removes it again.
TORCH = torch==2.15.0 gymnasium==1.2.2 dm-tree==0.1.9 lz4==4.4.5 ormsgpack==1.13.1
TORCH_TESTS = tests/integration/drivers/test_torch.py tests/dags/test_examples.py
MARKED ?= full or not full
# What has to be here, so that its want fails a test instead of skipping it: see tests/requirements.py.
AIR_REQUIRE ?=
export AIR_REQUIRE
BEFORE_TORCH = $(subst torch,,$(AIR_REQUIRE))

.PHONY: torch-tests
torch-tests: uv ## what needs torch, which is installed for it where 20 GB of disk are free
	@if [ "$$(df -Pk . | awk 'END {print int($$4 / 1048576)}')" -lt 20 ]; then
	  why="Less than 20 GB of disk are free"
	elif ! $(UV) pip install --quiet $(TORCH); then
	  why="torch cannot be installed here"
	else
	  exec $(PYTEST) -m "$(MARKED)" -k "torch or rllib" $(TORCH_TESTS)
	fi
	echo "$$why: the tests with torch are skipped"
	[ "$(BEFORE_TORCH)" = "$(AIR_REQUIRE)" ] || { echo "AIR_REQUIRE has torch" >&2; exit 1; }

.PHONY: bench
bench: env java ## benchmarks, one JSON line each
	@$(RUN) python -m tests.benchmarks

# Quick first: a broken unit should not wait for a real Airflow. These mostly wait, so some run at once.
QUICK = -n 6 --dist worksteal tests/simulation tests/unit tests/architecture
# These mostly wait for servers of their own, which the tests of one file share.
CONTRACT = -n 3 --dist loadfile tests/contract
# Each of these has the machine to itself.
SUITES = tests/ui tests/integration tests/dags tests/e2e
# A real Kubernetes node, which is first built on a machine that has none yet.
KUBERNETES = tests/kubernetes

# The bundle of the pages in Airflow's UI is in the repository, so who installs it needs neither Node nor a registry.
NPM_CI = [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --prefer-offline --no-progress --loglevel=error
.PHONY: ui
ui: ## build the pages of Airflow's UI anew, from ui/ and its lock; needs Node >= 20
	@cd ui
	$(NPM_CI)
	npm run --silent types
	npm run --silent build

.PHONY: ui-check
ui-check: ## whether the bundle is what ui/ gives; says so and goes on where Node is missing
	@cd ui
	if ! node --version >/dev/null 2>&1 || ! npm --version >/dev/null 2>&1; then
	  why="There is no Node"
	elif ! { $(NPM_CI); } >/dev/null; then
	  why="Node's packages cannot be fetched"
	else
	  npm run --silent types
	  made=$$(mktemp -d)
	  trap 'rm -r "$$made"' EXIT
	  node build.mjs "$$made"
	  if ! diff -rq "$$made" ../airflow_provider_air/pages/static; then
	    echo "The bundle is not what ui/ gives: run make ui and commit it" >&2
	    exit 1
	  fi
	  exit 0
	fi
	echo "$$why: the bundle of the pages is not checked"
	[ "$(subst node,,$(AIR_REQUIRE))" = "$(AIR_REQUIRE)" ] || { echo "AIR_REQUIRE has node" >&2; exit 1; }

.PHONY: env
env: uv
	@$(UV) sync --frozen --quiet --all-extras --all-groups

.PHONY: uv
uv:
	@if ! $(UV) --version >/dev/null 2>&1; then
	  echo "Fetching uv into $(UV_BOOTSTRAP)"
	  $(PYTHON) -m pip install --quiet --target $(UV_BOOTSTRAP) uv 2>/dev/null \
	    || { $(PYTHON) -m venv $(UV_BOOTSTRAP) && $(UV_BOOTSTRAP)/bin/python -m pip install --quiet uv; }
	fi

# Spark needs a JVM. As root on Debian it is installed, elsewhere one line says what to do.
.PHONY: java
java: uv
	@if java -version >/dev/null 2>&1; then exit 0; fi
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	  echo "Installing Java (openjdk-17-jre-headless)"
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openjdk-17-jre-headless >/dev/null
	else
	  echo "Java 17 or newer is missing: install it (Debian: apt install openjdk-17-jre-headless) and try again" >&2
	  exit 1
	fi

# The browser tests skip themselves where there is no Chromium; as root on Debian it is installed for them.
.PHONY: chromium
chromium:
	@if command -v chromium >/dev/null; then exit 0; fi
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	  echo "Installing Chromium for the tests of the UI"
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
	else
	  echo "No Chromium: the tests of the UI will be skipped (Debian: apt install chromium)"
	fi

# The tests of Feast by SQL skip themselves where there is no Postgres; as root on Debian it is installed for them.
.PHONY: postgres
postgres:
	@if [ -n "$$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || command -v initdb >/dev/null; then exit 0; fi
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	  echo "Installing Postgres for the tests of Feast by SQL"
	  # A server of the machine's own is not wanted.
	  mkdir -p /etc/postgresql-common/createcluster.d
	  echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/air-tests.conf
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null
	  rm /etc/postgresql-common/createcluster.d/air-tests.conf
	else
	  echo "No Postgres: the tests of Feast by SQL will be skipped (Debian: apt install postgresql)"
	fi

# Where it cannot be, one line says what is missing and the tests of it skip themselves.
.PHONY: kube
kube: env ## the Kubernetes node of the tests: the first time 15 minutes of building, then nothing
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	  packages=$$($(RUN) python -m tests.kubernetes.node packages)
	  if [ -n "$$packages" ]; then
	    echo "Installing for a Kubernetes node: $$packages"
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$packages >/dev/null
	  fi
	fi
	$(RUN) python -m tests.kubernetes.node build
