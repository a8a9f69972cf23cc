# Slipway: `make up` first. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules
.PHONY: help up down env install test test-quick test-driver check lock schema images rollout-demo clean-cache

# The exports of the local stack, for the recipes that run Pulumi.
LOCAL_ENV = exports=$$(python3 -m tools.local_stack env) && eval "$$exports"

help: ## list what can be made
	@sed -n 's/^\([a-z%-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

up: ## boot a machine here, bootstrap it over SSH, serve a small real model on it (needs root)
	@tools/need.sh
	$(MAKE) install images
	$(LOCAL_ENV)
	pulumi up --stack local --yes --skip-preview
	.venv/bin/python -m bootstrap.commands.greet

down: ## take the local stack away again
	@if ! python3 -m tools.local_stack exists; then
	  echo "nothing is up"
	  exit 0
	fi
	if [ "$$(id -u)" != 0 ]; then
	  echo 'slipway: `make down` needs root: it stops a machine, and removes its mounts, bridge and NAT rule. Run `sudo --preserve-env=PATH make down`.' >&2
	  exit 1
	fi
	$(MAKE) install
	python3 -m tools.pulumi_cli build >/dev/null
	$(LOCAL_ENV)
	pulumi destroy --stack local --yes --skip-preview
	python3 -m tools.local_stack remove

env: ## print the exports that plain `pulumi … --stack local` needs: eval "$(make env)"
	@python3 -m tools.local_stack env

install: ## make .venv from uv.lock, with the `slipway` command in it
	@tools/install.sh

images: ## build the Pulumi CLI, the container images and the machines' base into the cache (needs root)
	@python3 -m tools.artifacts build

test: check ## run every check and every test (needs root)
	@tools/need.sh test
	$(MAKE) images
	python3 -m tools.kubernetes build
	.venv/bin/pytest -q --numprocesses 2 --dist loadfile --durations 20 -m "not alone"
	.venv/bin/pytest -q -m alone

test-quick: check ## run every check, and the tests that need neither root nor Pulumi nor much time
	@.venv/bin/pytest -q -m "not hosts and not pulumi and not slow"

test-driver: ## build NVIDIA's real driver on a machine here: installed, put back, upgraded (needs root, takes its time)
	@if [ "$$(id -u)" != 0 ]; then
	  echo 'slipway: `make test-driver` needs root: it boots a system container here, and takes it away again. Run `sudo --preserve-env=PATH make test-driver`.' >&2
	  exit 1
	fi
	tools/need.sh
	tools/install.sh
	.venv/bin/pytest -v -s tests/bootstrap/whole_driver.py

check: install ## lint, format, types, layers
	@.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy -p slipway -p bootstrap -p stacks -p tools
	.venv/bin/lint-imports

lock: install ## write the locks of the releases again
	@.venv/bin/slipway lock

schema: install ## write the JSON Schema of the stack file again
	@.venv/bin/slipway schema --out docs/stack.schema.json

rollout-demo: ## roll a stub driver through four machines under load, well and not, and show a table (needs root)
	@if [ "$$(id -u)" != 0 ]; then
	  echo 'slipway: `make rollout-demo` needs root: it boots four system containers here, and takes them away again. Run `sudo --preserve-env=PATH make rollout-demo`.' >&2
	  exit 1
	fi
	tools/need.sh demo
	tools/install.sh
	.venv/bin/python -m bench.rollout_demo

bench-%: ## run one benchmark, for example bench-noop; its last line is JSON
	@tools/install.sh
	.venv/bin/python -m bench.$(subst -,_,$*)

clean-cache: ## remove what was built into the cache
	@python3 -m tools.cache clean
