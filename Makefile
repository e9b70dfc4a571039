# Two commands matter to a new user: `make demo` and `make test`. Both use the one .venv here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALL := $(UV) pip install --quiet --constraint constraints.txt
DEMO_SECONDS ?= 0
DEMO_ARGS ?=

.PHONY: demo test test-slow test-gpu lint format bench demo-bundle schemas clean

demo: $(VENV)/.demo
	$(BIN)/edge-app demo --seconds $(DEMO_SECONDS) $(DEMO_ARGS)

test: $(VENV)/.full
	$(BIN)/python -m pytest

# Minutes each: what .ci/run adds to `make test`.
test-slow: $(VENV)/.full
	$(BIN)/python -m pytest -m "slow and not gpu"

test-gpu: $(VENV)/.full
	$(BIN)/python -m pytest -m gpu

lint: $(VENV)/.full
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.full
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.full
	$(BIN)/python -m benchmarks

# Trains the shipped bundle again from the simulated line; about ten minutes on two cores.
demo-bundle: $(VENV)/.full
	$(BIN)/edge-export demo-bundle --product tapered --out edge_app/assets/demo-tapered.bundle

schemas: $(VENV)/.full
	$(BIN)/python -m edge_app.mqtt.schema docs

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.demo: pyproject.toml constraints.txt | $(UV)
	@echo "Installing what the device needs (once) ..."
	$(INSTALL) --editable ".[demo]"
	@touch $@

$(VENV)/.full: pyproject.toml constraints.txt | $(UV)
	@echo "Installing the training environment and the test tools (once; several GB) ..."
	$(INSTALL) --editable ".[demo,train,dev]"
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
