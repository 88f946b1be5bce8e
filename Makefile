# Everything that is done twice is a target; `make` lists them.

PYTHON ?= python3
NPM ?= npm
VENV ?= .venv
CONFIG ?= $(HOME)/.clawgate/config.toml
MODEL ?=
ARGS ?=
FUZZ_SECONDS ?= 300
T ?=

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --quiet --disable-pip-version-check install
# Without the compat mode an editable install hides twisted/plugins from twistd.
EDITABLE := --config-settings editable_mode=compat --editable
SOURCES := pyproject.toml setup.py
PEERS := tests/acceptance

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test crash node-modules golden-update lint format docs bench bench-quick fuzz soak wheel check-wheel clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  variables: CONFIG=$(CONFIG)  MODEL=/path/model.gguf  ARGS='--port 0'  T=tests/test_cli.py  PYTHON=$(PYTHON)  VENV=$(VENV)"

run: $(VENV)/.stamp-$(if $(MODEL),local,base) ## run the gateway; MODEL=/path/model.gguf answers with a model on this machine
	@test -e "$(CONFIG)" || $(BIN)/clawgate init --config "$(CONFIG)"
	@exec $(BIN)/clawgate run --config "$(CONFIG)" $(if $(MODEL),--provider "local:$$(realpath -- "$(MODEL)")") $(ARGS)

test: $(VENV)/.stamp-test ## run the tests in two processes; T=path for some of them, in one
	$(BIN)/python -m pytest -q $(or $(T),-n 2 --dist loadfile --ignore tests/acceptance)
	$(if $(T),,$(BIN)/python -m pytest -q -n 2 --dist loadfile tests/acceptance)

crash: $(VENV)/.stamp-test ## kill a daemon under load 200 times, look for what was lost, and write docs/explanation/promises.md; CLAWGATE_CRASH_ROUNDS=n
	$(BIN)/python -m tests.acceptance.crash

node-modules: $(PEERS)/node_modules/.package-lock.json ## fetch npm's clients for the tests of sockets, which are skipped without

golden-update: $(VENV)/.stamp-test ## write the golden transcripts anew; read the difference before you commit it
	GOLDEN_UPDATE=1 $(BIN)/python -m pytest -q tests/golden tests/acceptance/test_socket_clients.py

lint: $(VENV)/.stamp-test ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy clawgate

format: $(VENV)/.stamp-test ## put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.stamp-test ## write the generated reference pages anew
	$(BIN)/python docs/generate.py

bench: $(VENV)/.stamp-bench .venv-peers/.stamp .venv-litellm/.stamp ## measure beside the peers, and write docs/explanation/performance.md; needs wrk and webhook; ARGS='--only relay'
	$(BIN)/python -m tests.bench $(ARGS)

bench-quick: $(VENV)/.stamp-test .venv-peers/.stamp ## a few of the rows, a minute; fails when a ratio is broken; needs wrk
	$(BIN)/python -m tests.bench --quick

fuzz: $(VENV)/.stamp-test ## send every door nonsense, FUZZ_SECONDS=300 for each of three kinds
	CLAWGATE_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest -q -s tests/acceptance/test_http_fuzz.py tests/acceptance/test_socket_fuzz.py tests/acceptance/test_openapi_fuzz.py

soak: $(VENV)/.stamp-bench ## a day of traffic: 2,000,000 requests and what memory does meanwhile; ARGS='--requests 100000 --out /tmp/soak'
	$(BIN)/python -m tests.soak $(ARGS)

wheel: $(VENV)/.stamp-base ## build dist/*.whl
	@rm -rf build dist
	$(BIN)/python -m pip --quiet --disable-pip-version-check wheel --no-deps --wheel-dir dist .

check-wheel: wheel ## install the wheel in a throw-away environment and start its commands
	PYTHON="$(PYTHON)" .ci/check-wheel dist/clawgate-*.whl

clean: ## remove what was built and cached
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis twisted/plugins/dropin.cache
	find clawgate tests twisted docs -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the virtual environment and npm's packages too
	rm -rf "$(VENV)" .venv-peers .venv-litellm $(PEERS)/node_modules

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "clawgate needs Python 3.11 or newer; name one, such as: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv "$(VENV)"

$(VENV)/.stamp-base: $(SOURCES) | $(BIN)/python
	$(INSTALL) $(EDITABLE) .
	@touch $@

$(VENV)/.stamp-test: $(SOURCES) | $(BIN)/python
	$(INSTALL) $(EDITABLE) '.[test]'
	@touch $@ $(VENV)/.stamp-base

$(VENV)/.stamp-bench: $(SOURCES) | $(BIN)/python
	$(INSTALL) $(EDITABLE) '.[test,bench]'
	@touch $@ $(VENV)/.stamp-test $(VENV)/.stamp-base

.venv-peers/.stamp: tests/bench/peers/light.txt
.venv-litellm/.stamp: tests/bench/peers/litellm.txt
.venv-peers/.stamp .venv-litellm/.stamp: | $(BIN)/python
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --quiet --disable-pip-version-check install --requirement $<
	@touch $@

$(VENV)/.stamp-local: $(SOURCES) | $(BIN)/python
	$(INSTALL) $(EDITABLE) '.[local]'
	@touch $@ $(VENV)/.stamp-base

$(PEERS)/node_modules/.package-lock.json: $(PEERS)/package.json $(PEERS)/package-lock.json
	$(NPM) ci --prefix $(PEERS) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
