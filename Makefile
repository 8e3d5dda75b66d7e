# Two commands on a fresh machine, and no third: `make demo` and `make test`. The other targets are for those who work
# on byteedit. Each makes .venv from requirements.lock where it is missing or out of date.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow style docs results build lock clean help

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(READY)  ## edit, erase and outpaint pictures: sheets in demo/
	$(BIN)/byteedit demo

test: $(READY)  ## the tests, without the slow ones
	$(BIN)/python -m pytest -q -m "not slow and not gpu"

test-slow: $(READY)  ## the slow tests
	$(BIN)/python -m pytest -q -m "slow and not gpu"

style: $(READY)  ## check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

docs: $(READY)  ## fill the tables in README.md and docs/ from docs/results.json
	$(BIN)/python docs/tables.py

results: $(READY)  ## measure every system on PictureBench and fill the results; LIMIT=4 for a look
	$(BIN)/python benchmarks/systems.py $(if $(LIMIT),--limit $(LIMIT))
	$(if $(LIMIT),,$(BIN)/python docs/tables.py)

build: $(READY)  ## sdist and wheel in dist/, with the shipped checkpoint in the wheel
	rm -rf build dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m zipfile -l dist/*.whl > dist/contents.txt
	@for file in $$(git ls-files src/byteedit); do \
		grep -q "$${file#src/} " dist/contents.txt || { echo "the wheel lacks $$file"; exit 1; }; \
	done
	@rm dist/contents.txt
	@echo "dist/ holds $$(ls dist | tr '\n' ' ')with every file of src/byteedit"

# Resolved in an empty environment; torch stays where the checkpoint was measured. "+cpu" is a build, not a version.
lock:  ## renew requirements.lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --upgrade "pip>=25.1"
	build/lock/bin/pip install --quiet torch==2.13.0 setuptools wheel ".[app,docs,eval,train]" --group dev
	{ echo "# What \`make\` installs, to the version. Renewed by \`make lock\`."; \
	  build/lock/bin/pip freeze --all --exclude pip --exclude byteedit | sed 's/+cpu$$//'; } > requirements.lock

clean:  ## remove what make made, the environment included
	rm -rf $(VENV) build dist demo .pytest_cache .ruff_cache .coverage src/byteedit.egg-info

$(READY): requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
