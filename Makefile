# Everything a developer does. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STACK := $(BIN)/python -m sync_worker.testing.stack
SIMULATION := PYTHONHASHSEED=0 $(BIN)/python -W ignore -m sync_worker.testing.simulation
INSTALLED := $(VENV)/.installed
LINTERS := $(VENV)/.linters
SHELL := /bin/bash
# Says every ten seconds that the step goes on, for as long as the recipe's shell lives.
STILL_AT_IT := (while sleep 10 2>/dev/null; do echo "  still at it after $$SECONDS s" >&2; done </dev/null >/dev/null) & trap "kill $$!" EXIT
# docker-compose.yml demands these; any value does for checking it.
COMPOSE_CHECK := POSTGRES_PASSWORD=checked MEILI_MASTER_KEY=checked $(BIN)/docker-compose -f docker-compose.yml config --quiet

.DEFAULT_GOAL := help
.PHONY: help venv up down status demo test unit torture bench lint format jars

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(INSTALLED) ## Make .venv with everything in it

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11: say which to use, as in make PYTHON=python3.13 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV), once: a minute or two" >&2
	@$(STILL_AT_IT); $(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[stack,dev,simulation]'
	@touch $@

$(LINTERS): $(INSTALLED)
	@echo "installing the linters into $(VENV), once" >&2
	@$(STILL_AT_IT); $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lint]'
	@touch $@

up: $(INSTALLED) ## Start PostgreSQL, Kafka, Connect and Meilisearch, detached; addresses in .local/env
	@$(STACK) up

down: $(INSTALLED) ## Stop them; data stays in .local
	@$(STACK) down

status: $(INSTALLED) ## Say which of them run
	@$(STACK) status

demo: $(INSTALLED) ## Show the whole chain at work (ROWS=all for all 234,908 cities)
	@$(BIN)/python -m sync_worker.testing.demo

test: $(INSTALLED) ## Run all tests: unit tests on every Python here, then everything that needs the stack
	@status=0; $(BIN)/python .ci/unit.py || status=1; \
	  $(BIN)/pytest tests --ignore=tests/unit -n auto --dist loadfile --no-loadscope-reorder --durations=30 || status=1; exit $$status

unit: $(INSTALLED) ## Run the unit tests; they need nothing and take about a minute
	@$(BIN)/pytest -q tests/unit

torture: $(INSTALLED) ## Write at random while every part is killed and stalled, then compare both sides (MINUTES=5 SEED=1)
	@MINUTES=$(MINUTES) SEED=$(SEED) $(BIN)/python -m sync_worker.testing.torture

simulate: $(INSTALLED) ## Run the whole system under virtual time: RUNS=n [SEED=s], or TOKEN=t [WITHOUT=guard] to repeat one run
	@$(SIMULATION) $(if $(TOKEN),--token $(TOKEN) $(if $(WITHOUT),--without $(WITHOUT)),--runs $(or $(RUNS),1000) $(if $(SEED),--seed $(SEED)))

simulate-sabotage: $(INSTALLED) ## Take out one guard at a time and show that the simulation finds it (GUARDS="…" for some)
	@$(SIMULATION) --sabotage $(GUARDS)

bench: $(INSTALLED) ## Measure against the parts underneath; writes .local/bench.json
	@$(BIN)/python -m benchmarks

lint: $(LINTERS) ## Check style, types, import rules, and every file that deploys something
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=tests $(BIN)/mypy --explicit-package-bases --namespace-packages tests/unit/pipeline
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict docker-compose.yml deploy .github
	$(BIN)/shellcheck .ci/run
	$(BIN)/hadolint deploy/Dockerfile
	$(COMPOSE_CHECK)
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml
	$(BIN)/kubernetes-validate --strict deploy/kubernetes/*.yaml

format: $(LINTERS) ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

jars: ## Write deploy/local/jars anew from pom.xml; needs mvn
	@$(PYTHON) deploy/local/write_jar_lists.py
