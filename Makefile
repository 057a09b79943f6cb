# `make` lists the commands. Each one sets up what it needs first; a second run finds it set up.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   ?= .venv
HOST   ?= localhost
PORT   ?= 8000

PY := $(VENV)/bin/python
# Material announces its end of life on every build; the README says what follows from it.
export NO_MKDOCS_2_WARNING := 1
# A browser is opened where there is a screen.
OPEN := $(if $(CI),,$(if $(or $(DISPLAY),$(WAYLAND_DISPLAY),$(filter Darwin,$(shell uname -s))),--open))

.DEFAULT_GOAL := help
.PHONY: help serve build test lint figures labs records engine bench vendor-katex addresses screenshot clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.site ## open the site on localhost with live reload (HOST=…, PORT=…)
	SITE_URL=http://$(HOST):$(PORT)/ $(PY) -m mkdocs serve --dev-addr $(HOST):$(PORT) $(OPEN)

build: $(VENV)/.site ## build the site into site/
	$(PY) -m mkdocs build --strict

test: $(VENV)/.chromium lint build ## run everything that the automatic check runs
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses auto --dist loadgroup

lint: $(VENV)/.dev
	$(PY) -m ruff check
	$(PY) -m ruff format --check

figures: $(VENV)/.dev ## draw the figures, and make the sound clips, whose code has changed
	$(PY) -m scripts.figures
	$(PY) -m scripts.clips

labs: $(VENV)/.dev ## execute the labs whose code has changed, rewrite the notebooks of those whose text has
	$(PY) -m scripts.labs

records: $(VENV)/.dev ## run again the experiments whose code has changed (`make figures` runs those that it draws)
	OMP_NUM_THREADS=1 $(PY) -m pytest --quiet --run-experiments tests/content tests/experiments

engine: $(VENV)/.site ## bundle the search engine after a change in search/ (needs npm)
	$(PY) -m scripts.engine

bench: $(VENV)/.chromium ## measure formulas and search of this site beside the usual ways (needs npm)
	$(PY) -m scripts.bench.formulas
	$(PY) -m scripts.bench.search

vendor-katex: $(VENV)/.dev ## take another release of KaTeX (VERSION=…)
	@test -n "$(VERSION)" || { echo "Say which release: make vendor-katex VERSION=0.19.1" >&2; exit 2; }
	$(PY) -m scripts.vendor_katex $(VERSION)

addresses: build ## add the addresses of new pages to the list of published ones
	$(PY) -m scripts.site.addresses site

screenshot: $(VENV)/.chromium build ## take the picture that the README shows
	$(PY) -m scripts.browser.screenshot

clean: ## remove what was built (the virtual environment stays)
	rm -rf site .site.staging .site.previous .cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The virtual environment, in three steps; the stamps tell which are done.

$(VENV)/.site: requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.site
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(VENV)/.chromium: $(VENV)/.dev scripts/browser/chromium.py
	$(PY) -m scripts.browser.chromium --install
	@touch $@
