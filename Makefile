# What people and machines type. `make demo` and `make test` need git, make and Python 3.10 to 3.13 with venv, nothing else.
# Another Python: make demo PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROTOS := $(wildcard protos/*.proto)
PROTOC := $(BIN)/python -m grpc_tools.protoc -I.

.PHONY: help demo test check protos protos-fresh venv zookeeper terminals
.DEFAULT_GOAL := help

help:
	@echo "make demo    set everything up, start a datacenter, classify pictures, stop it"
	@echo "make test    run all tests"
	@echo "make check   lint, format, types, generated code"
	@echo "make protos  generate the code of protos/ anew"

demo: venv zookeeper
	$(BIN)/python run_datacenter.py demo

test: venv zookeeper terminals
	$(BIN)/python -m pytest tests

check: venv protos-fresh
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

# Installs ZooKeeper where that can be done without asking; where not, the launcher says what to do or goes without.
zookeeper:
	@if [ ! -e /usr/share/java/zookeeper.jar ] && [ -z "$$ZOOKEEPER_HOME" ] && ! ls -d apache-zookeeper-*-bin >/dev/null 2>&1 \
		&& [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing ZooKeeper with apt-get"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends zookeeper; } \
			>/dev/null || echo "that failed; going on without"; \
	fi

# The terminals that are tested, on a virtual screen. Only where CI runs: elsewhere what is missing is skipped.
terminals:
	@if [ -n "$$CI" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& ! { command -v tmux && command -v gnome-terminal && command -v xvfb-run && command -v dbus-run-session; } >/dev/null; \
	then \
		echo "installing tmux and gnome-terminal with apt-get"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			tmux gnome-terminal dbus xvfb xauth; } >/dev/null; \
	fi
