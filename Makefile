# Two commands on a fresh machine, and no third: `make demo` and `make test`. The other targets are for those who work
# on byteedit. Each makes .venv from requirements.lock where it is missing or out of date.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo app test test-slow test-gpu test-browser style docs results rewards reproduce-boost reproduce-fast build lock clean help

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(READY)  ## edit, erase and outpaint pictures: sheets in demo/
	$(BIN)/byteedit demo

app: $(READY)  ## the editor in a browser
	$(BIN)/byteedit app --browser

test: $(READY)  ## the tests, without the slow ones
	$(BIN)/python -m pytest -q -m "not slow and not gpu"

test-slow: $(READY)  ## the slow tests
	$(BIN)/python -m pytest -q -m "slow and not gpu"

test-gpu: $(READY)  ## the tests that need a GPU
	$(BIN)/python -m pytest -q -m gpu

test-browser: $(READY)  ## the tests in a real browser; installs Debian's Chromium where there is none
	command -v chromium > /dev/null || { apt-get update --quiet && apt-get install --yes --quiet chromium; }
	$(BIN)/python -c "import playwright" 2> /dev/null || $(BIN)/pip install --quiet --disable-pip-version-check playwright
	$(BIN)/python -m pytest -q -m slow tests/test_browser_*.py

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

# The proofs, from the files that ship; each step goes on where it was. Hours on two processor cores. MEMORY keeps what
# tensors held with the process; without it, half of the processor's time goes into giving it back and taking it again.
MEMORY := MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=8589934592
RUN := OMP_NUM_THREADS=1 $(MEMORY) $(BIN)/python -m torch.distributed.run --standalone --nproc-per-node 2
BOOK := examples/picturebook
PRESETS := examples/configs/picturebook

.runs/data/hidden/validation.parquet: | $(READY)
	$(BIN)/python $(BOOK)/hidden.py

rewards: $(READY)  ## the three rewards of the picturebook, in .runs/rewards
	$(RUN) $(BOOK)/experts.py
	$(BIN)/python $(BOOK)/captions.py
	$(RUN) $(BOOK)/train_tower.py
	mkdir -p .runs/rewards
	for reward in alignment aesthetic coherence; do \
		$(RUN) examples/train_reward.py $(PRESETS)/reward_$$reward.yaml && \
		rm -rf .runs/rewards/$$reward && cp -r .runs/reward_$$reward/reward .runs/rewards/$$reward || exit 1; \
	done

.runs/boost/lora/README.md: .runs/data/hidden/validation.parquet
	$(RUN) $(BOOK)/train_boost.py $(PRESETS)/boost.yaml

.runs/boost_whole/lora/README.md: .runs/boost/lora/README.md
	$(RUN) $(BOOK)/train_boost.py $(PRESETS)/boost_whole.yaml

.runs/guidance/lora/README.md: .runs/boost/lora/README.md
	$(RUN) examples/train_inpaint.py $(PRESETS)/guidance.yaml

# The runs that `fast8` is the mean of: on the boost that ships, with more guidance taken in, or on its first half.
GUIDANCE_whole := --tuned .runs/boost_whole/lora
GUIDANCE_more := $(GUIDANCE_whole) --absorbed-guidance 2.5
SEED_more := 11
SEED_seed := 31
SEED_more_longer := 51
SEED_seed_longer := 52

.PRECIOUS: .runs/guidance_%/lora/README.md
.runs/guidance_%/lora/README.md: .runs/boost_whole/lora/README.md
	$(RUN) examples/train_inpaint.py $(PRESETS)/guidance.yaml --output .runs/guidance_$* $(GUIDANCE_$*) --seed $(or $(SEED_$*),0)

.runs/discriminator/reward/README.md:
	$(RUN) $(BOOK)/content.py
	$(RUN) examples/train_reward.py $(PRESETS)/discriminator.yaml

.PRECIOUS: .runs/fast8_%/fast8/lora/README.md .runs/fast8_%_longer/fast8/lora/README.md
.runs/fast8_%/fast8/lora/README.md: .runs/guidance_%/lora/README.md .runs/discriminator/reward/README.md
	$(RUN) examples/train_fast.py $(PRESETS)/fast8_first.yaml --tuned .runs/guidance_$*/lora --output .runs/fast8_$* \
		--seed $(or $(SEED_$*),0)

.runs/fast8_%_longer/fast8/lora/README.md: .runs/fast8_%/fast8/lora/README.md
	$(RUN) examples/train_fast.py $(PRESETS)/fast8_longer.yaml --tuned .runs/fast8_$*/fast8/lora \
		--discriminator .runs/fast8_$*/fast8/discriminator --output .runs/fast8_$*_longer --seed $(SEED_$*_longer)

.runs/fast8/fast8/lora/README.md: $(patsubst %,.runs/fast8_%/fast8/lora/README.md,whole more_longer seed_longer)
	$(RUN) examples/train_fast.py $(PRESETS)/fast8.yaml

.runs/fast/fast4/lora/README.md: .runs/guidance/lora/README.md .runs/fast8/fast8/lora/README.md
	$(RUN) examples/train_fast.py $(PRESETS)/fast.yaml

.runs/lcm/lora/pytorch_lora_weights.safetensors: .runs/boost/lora/README.md
	$(RUN) $(BOOK)/train_lcm.py $(PRESETS)/lcm.yaml

reproduce-boost: .runs/boost_whole/lora/README.md  ## feedback learning against the checkpoint: win rates, ablations, plot, tables
	mkdir -p .runs/loras && rm -rf .runs/loras/boost && cp -r .runs/boost_whole/lora .runs/loras/boost
	$(RUN) $(BOOK)/compare.py boost20 baseline20 --loras .runs/loras --record
	$(RUN) $(BOOK)/compare.py boost20 calm20 --limit 120 --loras .runs/loras --key winrate.boost20-vs-calm20 --record
	$(RUN) $(BOOK)/compare.py boost20 steps20=.runs/boost/lora --loras .runs/loras --key winrate.boost20-vs-steps20 --record
	$(RUN) $(BOOK)/compare.py calm20 baseline20 --limit 120 --record
	$(RUN) $(BOOK)/compare.py mild20 baseline20 --limit 120 --record
	$(RUN) $(BOOK)/compare.py ceiling baseline20 --limit 120 --record
	$(RUN) $(BOOK)/compare.py boost20 baseline20 --loras .runs/loras --sheet docs/images/boost.png
	$(MEMORY) $(BIN)/python $(BOOK)/ablate.py boost --record
	$(RUN) $(BOOK)/best_of.py --record
	$(RUN) $(BOOK)/climb.py --record
	$(BIN)/python $(BOOK)/plot_boost.py .runs/boost/log.jsonl
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/feedback_step.py --record
	$(BIN)/python docs/tables.py

reproduce-fast: .runs/boost_whole/lora/README.md .runs/fast/fast4/lora/README.md
reproduce-fast: .runs/lcm/lora/pytorch_lora_weights.safetensors
reproduce-fast:  ## 8 and 4 steps against 20 and against rivals: win rates, ablations, times, tables
	mkdir -p .runs/loras && rm -rf .runs/loras/*
	cp -r .runs/boost_whole/lora .runs/loras/boost && cp -r .runs/lcm/lora .runs/loras/lcm
	cp -r .runs/fast8/fast8/lora .runs/loras/fast8 && cp -r .runs/fast/fast4/lora .runs/loras/fast4
	$(RUN) $(BOOK)/compare.py fast8 boost20 baseline20 baseline8 unguided8 lcm8 dpm8 --loras .runs/loras --record
	$(RUN) $(BOOK)/compare.py fast4 boost20 baseline20 baseline4 unguided4 lcm4 --loras .runs/loras --record
	$(RUN) $(BOOK)/compare.py unguided8 baseline20 --record
	$(RUN) $(BOOK)/compare.py boost20 loud20=boost,noise_scale=1 --loras .runs/loras --split validation --limit 60 --key noise.boost20 --record
	$(RUN) $(BOOK)/compare.py fast8 loud8=fast8,noise_scale=1 --loras .runs/loras --split validation --limit 120 --key noise.fast8 --record
	$(RUN) $(BOOK)/compare.py fast4 loud4=fast4,noise_scale=1 --loras .runs/loras --split validation --limit 120 --key noise.fast4 --record
	for run in whole more_longer seed_longer; do \
		$(RUN) $(BOOK)/compare.py fast8 $$run=.runs/fast8_$$run/fast8/lora,noise_scale=0.62 --loras .runs/loras \
			--split validation --limit 120 --key soup.$$run --record || exit 1; \
	done
	$(RUN) $(BOOK)/compare.py baseline20 boost20 fast8 fast4 --loras .runs/loras --sheet docs/images/fast.png
	$(RUN) $(BOOK)/compare.py fast8 boost20 fast4 --loras .runs/loras --split validation
	$(BIN)/python $(BOOK)/fresh.py fast8 boost20 fast4 --record
	$(MEMORY) $(BIN)/python $(BOOK)/ablate.py boost --only full
	$(MEMORY) $(BIN)/python $(BOOK)/ablate.py fast --record
	$(BIN)/python benchmarks/fast.py --loras .runs/loras --record --plot docs/images/latency.png
	$(BIN)/python docs/tables.py

clean:  ## remove what make made, the environment included
	rm -rf $(VENV) build dist demo .pytest_cache .ruff_cache .coverage src/byteedit.egg-info

$(READY): requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
