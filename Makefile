 dist/contents.txt ||# Two commands on a fresh machine, and no third: `make demo` and `make test`. The other targets are for those who work
 dist/contents.txt ||# on byteedit. Each makes .venv from requirements.lock where it is missing or out of date.
 dist/contents.txt ||PYTHON ?= python3
 dist/contents.txt ||VENV ?= .venv
 dist/contents.txt ||BIN := $(VENV)/bin
 dist/contents.txt ||READY := $(VENV)/.ready
 dist/contents.txt ||
 dist/contents.txt ||.PHONY: demo test test-slow style docs build lock clean help
 dist/contents.txt ||
 dist/contents.txt ||help:  ## what there is
 dist/contents.txt ||	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12
 dist/contents.txt ||
 dist/contents.txt ||demo: $(READY)  ## edit, erase and outpaint pictures: sheets in demo/
 dist/contents.txt ||	$(BIN)/byteedit demo
 dist/contents.txt ||
 dist/contents.txt ||test: $(READY)  ## the tests, without the slow ones
 dist/contents.txt ||	$(BIN)/python -m pytest -q -m "not slow and not gpu"
 dist/contents.txt ||
 dist/contents.txt ||test-slow: $(READY)  ## the slow tests
 dist/contents.txt ||	$(BIN)/python -m pytest -q -m "slow and not gpu"
 dist/contents.txt ||
 dist/contents.txt ||style: $(READY)  ## check format and lint
 dist/contents.txt ||	$(BIN)/ruff format --check .
 dist/contents.txt ||	$(BIN)/ruff check .
 dist/contents.txt ||
 dist/contents.txt ||docs: $(READY)  ## fill the tables in README.md and docs/ from docs/results.json
 dist/contents.txt ||	$(BIN)/python docs/tables.py
 dist/contents.txt ||
 dist/contents.txt ||build: $(READY)  ## sdist and wheel in dist/, with the shipped checkpoint in the wheel
 dist/contents.txt ||	rm -rf build dist
 dist/contents.txt ||	$(BIN)/python -m build --no-isolation
 dist/contents.txt ||	$(BIN)/python -m zipfile -l dist/*.whl > dist/contents.txt
 dist/contents.txt ||	@for file in $$(git ls-files src/byteedit); do \
 dist/contents.txt ||		grep -q "$${file#src/} " build/wheel.txt || { echo "the wheel lacks $$file"; exit 1; }; \
 dist/contents.txt ||	done
 dist/contents.txt ||	@echo "dist/ holds $$(ls dist | tr '\n' ' ')with every file of src/byteedit"
 dist/contents.txt ||
 dist/contents.txt ||# Resolved in an empty environment; torch stays where the checkpoint was measured. "+cpu" is a build, not a version.
 dist/contents.txt ||lock:  ## renew requirements.lock
 dist/contents.txt ||	$(PYTHON) -m venv build/lock
 dist/contents.txt ||	build/lock/bin/pip install --quiet --upgrade "pip>=25.1"
 dist/contents.txt ||	build/lock/bin/pip install --quiet torch==2.13.0 setuptools wheel . --group dev
 dist/contents.txt ||	{ echo "# What \`make\` installs, to the version. Renewed by \`make lock\`."; \
 dist/contents.txt ||	  build/lock/bin/pip freeze --all --exclude pip --exclude byteedit | sed 's/+cpu$$//'; } > requirements.lock
 dist/contents.txt ||
 dist/contents.txt ||clean:  ## remove what make made, the environment included
 dist/contents.txt ||	rm -rf $(VENV) build dist demo .pytest_cache .ruff_cache .coverage src/byteedit.egg-info
 dist/contents.txt ||
 dist/contents.txt ||$(READY): requirements.lock setup.cfg pyproject.toml
 dist/contents.txt ||	$(PYTHON) -m venv $(VENV)
 dist/contents.txt ||	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
 dist/contents.txt ||	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
 dist/contents.txt ||	touch $@
