# `make demo` and `make test` set everything up themselves; see `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE := $(shell find cpp_preproc -name '*.cpp' -o -name '*.h' -o -name CMakeLists.txt)

.DEFAULT_GOAL := help
.PHONY: help setup demo test testall lint fix bench clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(STAMP) ## virtual environment, dependencies, compiled helper (done by the others when needed)

$(STAMP): pyproject.toml constraints.txt scripts/setup.sh $(NATIVE)
	@PYTHON=$(PYTHON) scripts/setup.sh $(VENV)
	@touch $@

demo: $(STAMP) ## render the embedded dataset, convert, train, evaluate, draw (about 4 minutes on 2 cores)
	@$(BIN)/python scripts/demo.py

test: $(STAMP) ## all tests but the slow ones
	@$(BIN)/python -m pytest -n auto --dist worksteal

testall: $(STAMP) ## all tests, with the slow ones (every encoder under every decoder)
	@$(BIN)/python -m pytest -n auto --dist worksteal -m ""

lint: $(STAMP) ## ruff and mypy, nothing is changed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

fix: $(STAMP) ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

PEERS := build/peers

$(PEERS): benchmarks/constraints-peers.txt $(STAMP)
	@$(BIN)/python -m pip install -qq --no-deps --upgrade --target $@ -r $<
	@touch $@

peers: $(PEERS) ## tests against MONAI and kornia, which are fetched for it
	@PYTHONPATH=$(PEERS) $(BIN)/python -m pytest -n auto tests/test_losses_peers.py

bench: $(STAMP) $(PEERS) ## benchmarks, verified while timing; tables into benchmarks/results/
	@for bench in benchmarks/bench_*.py; do echo "== $$bench"; PYTHONPATH=$(PEERS) $(BIN)/python $$bench || exit 1; done

clean: ## remove what make and the demo made
	rm -rf $(VENV) build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
