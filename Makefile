# `make demo` and `make test` set everything up themselves; see `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE := $(shell find cpp_preproc -name '*.cpp' -o -name '*.h' -o -name CMakeLists.txt)
CXX_FILES := $(filter %.cpp %.h,$(NATIVE)) $(wildcard benchmarks/*.cpp)

# ON: the C++ compiler's warnings are errors, as in .ci/run
WERROR ?= OFF
FUZZ_SECONDS ?= 60
FUZZ_CXX ?= clang++

# `make -j` tells recipes of jobs that only other makes are given; ninja would call that an error
unexport MAKEFLAGS

.DEFAULT_GOAL := help
.PHONY: help setup demo loop compare test testall lint fix docs sanitize fuzz corpus peers bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## virtual environment, dependencies, compiled helper (done by the others when needed)

$(STAMP): pyproject.toml constraints.txt scripts/setup.sh scripts/packages.sh $(NATIVE)
	@PYTHON=$(PYTHON) scripts/setup.sh $(VENV)
	@touch $@

demo: $(STAMP) ## render the embedded dataset, convert, train, evaluate, draw (3 minutes on 2 cores)
	@$(BIN)/python scripts/demo.py

loop: $(STAMP) ## wrong labels planted, found, repaired, and the gain with a verdict (12 runs of a minute)
	@$(BIN)/python scripts/loop.py

COMPARED := loss=cross_entropy,weighted_cross_entropy,focal,ce_dice seeds=3 fit.minutes=0.8

compare: $(STAMP) ## four losses, three seeds, on the embedded dataset, to a report (12 runs of 0.8 minutes)
	@$(BIN)/seg-train data=synthetic experiment=embedded sweep=losses $(COMPARED) logger=none runs=compare/runs \
	  data.render.destination=compare/data
	@$(BIN)/seg-compare runs=compare/runs destination=compare/report

# As many processes as cores: with more threads in each they would wait for one another.
test testall: export OMP_NUM_THREADS ?= 1

test: $(STAMP) ## all tests but the slow ones
	@$(BIN)/python -m pytest -n auto --dist worksteal

testall: $(STAMP) ## all tests, with the slow ones (every encoder under every decoder)
	@$(BIN)/python -m pytest -n auto --dist worksteal -m ""

lint: $(STAMP) ## ruff, clang-format and mypy, nothing is changed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)
	@$(BIN)/mypy

fix: $(STAMP) ## let ruff mend what it can; format Python and C++
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/clang-format -i $(CXX_FILES)

CMAKE := $(BIN)/cmake --log-level=WARNING -S cpp_preproc -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja \
	-DSEG_WERROR=$(WERROR)

DOCS := $(VENV)/.docs

$(DOCS): $(STAMP)
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' | \
	  $(BIN)/python -m pip install -qq --constraint constraints.txt --requirement /dev/stdin
	@touch $@

docs: $(DOCS) ## the documentation, build/docs/index.html; its pages are executed (the first time some minutes)
	@$(BIN)/python -m sphinx -q -W --keep-going -d build/docs-work/doctrees docs build/docs && echo "written to build/docs/index.html"

sanitize: $(STAMP) ## the C++ tests under ASan and UBSan, then under TSan (2 minutes)
	@$(CMAKE) -B build/asan -DSEG_TESTS=ON -DSEG_SANITIZE=address,undefined
	@$(CMAKE) -B build/tsan -DSEG_TESTS=ON -DSEG_SANITIZE=thread
	@for build in build/asan build/tsan; do \
	  $(BIN)/cmake --build $$build -- --quiet && $(BIN)/ctest --test-dir $$build --output-on-failure || exit 1; \
	done

FUZZ := build/fuzz
CORPUS := cpp_preproc/fuzz/corpus.tar.gz

fuzz: $(STAMP) ## fuzz the PNG reader for FUZZ_SECONDS=60, from the kept inputs on (needs clang)
	@$(CMAKE) -B $(FUZZ) -DCMAKE_CXX_COMPILER=$(FUZZ_CXX) -DSEG_FUZZ=ON -DSEG_SANITIZE=address,undefined
	@$(BIN)/cmake --build $(FUZZ) --target fuzz_preproc -- --quiet
	@mkdir -p $(FUZZ)/corpus
	@tar -xzf $(CORPUS) -C $(FUZZ)/corpus
	@$(FUZZ)/fuzz_preproc -verbosity=0 -print_final_stats=1 -max_len=2048 -max_total_time=$(FUZZ_SECONDS) \
	  -artifact_prefix=$(FUZZ)/ $(FUZZ)/corpus

corpus: fuzz ## keep what the fuzzer found (the fewest inputs that reach as much)
	@rm -rf $(FUZZ)/kept
	@mkdir $(FUZZ)/kept
	@$(FUZZ)/fuzz_preproc -verbosity=0 -set_cover_merge=1 $(FUZZ)/kept $(FUZZ)/corpus
	@tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C $(FUZZ)/kept -c . | gzip -9n >$(CORPUS)
	@ls -l $(CORPUS)

PEERS := build/peers

$(PEERS): benchmarks/constraints-peers.txt $(STAMP)
	@$(BIN)/python -m pip install -qq --no-deps --upgrade --target $@ -r $<
	@touch $@

peers: $(PEERS) ## tests against MONAI and kornia, which are fetched for it
	@PYTHONPATH=$(PEERS) $(BIN)/python -m pytest -n auto tests/losses/test_peers.py

bench: $(STAMP) $(PEERS) ## benchmarks, verified while timing; tables into benchmarks/results/ (not those that want files or a GPU)
	@for bench in benchmarks/bench_*.py; do echo "== $$bench"; PYTHONPATH=$(PEERS) $(BIN)/python $$bench || [ $$? = 2 ] || exit 1; done

clean: ## remove what make and the demo made
	rm -rf $(VENV) build dist demo loop .mypy_cache .ruff_cache .pytest_cache .hypothesis
