# make demo: the main job, on this machine.   make test: everything CI checks.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test lint golden requirements

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
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/shellcheck generator/*.sh tests/*.sh .ci/run $$(git ls-files '.github/actions/*.sh' 'generator/dpra/*.sh')

# After a change of templates: look at the difference in tests/golden before you commit it.
golden: .venv/ready
	DPRA_GOLDEN=write $(BIN)/python -m pytest --quiet tests/test_golden.py -k tree

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --upgrade
requirements: .venv/ready
	$(COMPILE) pyproject.toml --output-file requirements/dpra.txt
	$(COMPILE) --extra test pyproject.toml --output-file requirements/test.txt
	echo uv | $(COMPILE) - --output-file requirements/uv.txt
