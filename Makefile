# make demo: the main job, on this machine.   make test: in minutes.   make all, as .ci/run does: whole pipelines, too.
PYTHON ?= python3
BIN = .venv/bin
WORKERS ?= 3 # for two cores: a third of the time tests wait for what they started
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

# Parts of make end-to-end, for machines side by side; what no part names is the last one's.
PARTS = scenarios pipelines others
scenarios = tests/test_scenarios.py
pipelines = tests/test_documents.py tests/test_main_job.py tests/test_new.py tests/test_profiles.py
others = $(addprefix --ignore=,$(scenarios) $(pipelines))

.PHONY: demo test end-to-end all lint golden bench thorough requirements tools

# Only what the lock files' hashes admit; dpra itself from this checkout. Where uv cannot reach the index, pip may.
.venv/ready: requirements/uv.txt requirements/test.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode --requirement requirements/test.txt \
	  || $(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: .venv/ready
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash tests/demo.sh

test: lint
	$(PYTEST) -m "not slow"

# What is marked slow; PART=scenarios, pipelines or others takes a part of it.
end-to-end: .venv/ready
	$(if $(filter-out $(PARTS),$(PART)),$(error there is no part $(PART) but $(PARTS)))$(PYTEST) -m slow $($(PART))

# Both in one run, so that no worker waits for the end of the first.
all: lint
	$(PYTEST)

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/shellcheck generator/*.sh tests/*.sh .ci/run $$(git ls-files '.github/actions/*.sh' 'generator/dpra/*.sh')

# After a change of templates: look at the difference in tests/golden and the documents before you commit it.
golden: .venv/ready
	DPRA_GOLDEN=write $(BIN)/python -m pytest --quiet tests/test_golden.py tests/test_documents.py -k tree

# Against projen and cdk-pipelines-github, from npm; writes tests/benchmarks/README.md.
bench: .venv/ready
	$(BIN)/python tests/benchmarks/bench.py

# 10,000 random specs instead of 200, some 10 minutes.
thorough: .venv/ready
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest --quiet --numprocesses 2 --hypothesis-show-statistics tests/test_hostile.py -k refused

# The locks of the checks' tools, from the heads of .github/actions/check/tools/*.sh; UPGRADE=--upgrade takes newer versions.
tools: .venv/ready
	$(BIN)/python requirements/tools.py $(UPGRADE)

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --upgrade
requirements: .venv/ready
	$(COMPILE) pyproject.toml --output-file requirements/dpra.txt
	$(COMPILE) --extra test pyproject.toml --output-file requirements/test.txt
	echo uv | $(COMPILE) - --output-file requirements/uv.txt
	cp requirements/uv.txt .github/actions/uv/requirements.txt
