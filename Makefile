# make demo: the main job, on this machine.   make test: in minutes.   CI adds make end-to-end: whole pipelines.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test end-to-end lint golden bench thorough requirements tools

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
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m "not slow"

# What is marked slow; tests/test_scenarios.py alone takes both cores for five minutes.
end-to-end: .venv/ready
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m slow

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
