# Three commands matter to a new user: `make demo`, `make train`, `make test`; they share one .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALL := $(UV) pip install --quiet --constraint constraints.txt
DEMO_SECONDS ?= 0
# Waiting OpenMP threads sleep: spinning ones steal the cores from everything else.
export OMP_WAIT_POLICY = PASSIVE
export GOMP_SPINCOUNT = 0
# Compiled modules are kept, where `make clean` finds them: under PYTHONDONTWRITEBYTECODE, which many
# containers set, each of the tests' hundreds of processes would compile torch anew, 5 s and more.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/pycache
DEMO_ARGS ?=

.PHONY: demo train test test-often test-slow test-systemd test-arm64 test-gpu bench-gpu gpu-environment gpu-ready gpu-wheels test-device check-arm64-wheels device-wheel docs man wheels release tensorrt-rtx openvino coverage lint format bench demo-bundle schemas clean

demo: $(VENV)/.demo
	$(BIN)/edge-app demo --seconds $(DEMO_SECONDS) $(DEMO_ARGS)

# What edge-export needs, without running anything.
train: $(VENV)/.train

# A process per core, up to four: each holds torch, 1 to 2 GB. WORKERS=0 runs all in one.
WORKERS ?= logical
SHARED := --numprocesses $(WORKERS) --maxprocesses 4
# Further options; in PYTEST_ADDOPTS a pytest that a test starts would get them too.
PYTEST_ARGS ?=
test: $(VENV)/.full
	$(BIN)/python -m pytest $(SHARED) $(PYTEST_ARGS)

# A share of them again and again beside processes that never rest, to find those that now and then
# fail: SHARE=3/50 is every fiftieth test, another one each night; all of them would take days.
SHARE ?= 1/50
TIMES ?= 50
LOAD ?= 4
test-often: $(VENV)/.full
	$(BIN)/python tools/beside_load.py $(LOAD) $(BIN)/python -m pytest $(SHARED) --share $(SHARE) --count $(TIMES) $(PYTEST_ARGS)

# Minutes each: what .ci/run adds to `make test`.
test-slow: $(VENV)/.full
	$(BIN)/python -m pytest $(SHARED) $(PYTEST_ARGS) -m "slow and not gpu and not arm64"

# What the tests execute, held to a floor per folder (pyproject.toml); release 0.1.0's code, which some start, is no
# source here (--ignore-errors). FOLDERS="edge_app/ipc deploy": only
# the tests of these folders, held to the floors of these; without it all of `make test`, in one process.
FOLDERS ?=
COVERAGE := $(BIN)/python -m coverage
coverage: $(VENV)/.full
	rm -rf build/coverage
	$(COVERAGE) run -m pytest $(PYTEST_ARGS) $(FOLDERS:%=tests/%)
	$(COVERAGE) combine --quiet
	$(COVERAGE) json --quiet --ignore-errors -o build/coverage/coverage.json
	$(BIN)/python tools/coverage_floors.py build/coverage/coverage.json $(FOLDERS)

# A device installed in a Debian system that boots its own systemd. As root, on Debian or Ubuntu;
# the system is built once and kept in ~/.cache/cropliq-edge. Part of test-slow.
SYSTEMD_PACKAGES := debootstrap systemd-container mosquitto
test-systemd: $(VENV)/.full
	apt-get install -y -qq --no-install-recommends $(SYSTEMD_PACKAGES) >/dev/null
	CROPLIQ_REQUIRE_SYSTEM_PACKAGES=1 $(BIN)/python -m pytest -m "not arm64" tests/systemd

# The same on an emulated arm64 Debian, with the wheels a Jetson would get: six minutes and more.
test-arm64: $(VENV)/.full
	apt-get install -y -qq --no-install-recommends $(SYSTEMD_PACKAGES) qemu-user-static >/dev/null
	CROPLIQ_REQUIRE_SYSTEM_PACKAGES=1 $(BIN)/python -m pytest -m arm64 tests/systemd

# What only a GPU can show: on a Jetson or beside an NVIDIA card, in an environment of its own that
# sees JetPack's TensorRT (where there is none, on x86-64, TensorRT-RTX is installed) and has no torch.
# WHEELS=FOLDER (made by `make gpu-wheels`): without a network, and without compiling pycuda.
WHEELS ?=
GPU_PYTHON := $(VENV)-gpu/bin/python
GPU_FROM = $(if $(WHEELS),--no-cache --offline --no-index --find-links $(WHEELS))
GPU_INSTALL = $(UV) pip install --quiet $(GPU_FROM) --python $(GPU_PYTHON) --constraint constraints.txt --editable
gpu-environment: gpu-ready | $(UV)
	@test -x $(GPU_PYTHON) || $(UV) venv --quiet --system-site-packages --python $(PYTHON) $(VENV)-gpu
	@echo "Installing the device's packages$(if $(WHEELS),, ; pycuda is compiled, which takes minutes (once)) ..."
	$(GPU_INSTALL) ".[calibrate,demo,device-test,jetson]"
	@$(GPU_PYTHON) -c "import tensorrt" 2>/dev/null || $(GPU_INSTALL) ".[tensorrt-rtx]"
	$(GPU_PYTHON) tests/gpu/ready.py --installed $(if $(WHEELS),--compiled)

test-gpu: gpu-environment
	@echo "Engines are built first, silently: minutes each on a Jetson ..."
	$(GPU_PYTHON) -m pytest -vv -m gpu -rs tests/gpu

# Every figure of docs/hardware.md that needs a GPU, in one table and benchmarks/results/gpu.json.
BUNDLE ?= edge_app/assets/demo-tapered.bundle
bench-gpu: gpu-environment
	$(GPU_PYTHON) -m benchmarks.gpu --bundle $(BUNDLE)

# What the two install, in a folder to take to a machine without a network. PYTHON: of that machine's version.
GPU_WHEELS ?= build/gpu-wheels
gpu-wheels:
	$(PYTHON) tools/gpu_wheels.py $(GPU_WHEELS)

gpu-ready:
	@PYTHONPATH=. $(PYTHON) tests/gpu/ready.py $(if $(WHEELS),--compiled)

# The device's tests on the Python versions that JetPack 6 and 7 bring, where they are installed.
DEVICE_PYTHONS ?= 3.10 3.12
test-device: | $(UV)
	@for v in $(DEVICE_PYTHONS); do \
		python=$$(ls -d $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$v.*/bin/python 2>/dev/null | tail -1); \
		python=$${python:-$$(command -v python$$v)}; \
		if [ -z "$$python" ]; then echo "Python $$v is not here: not tested on it"; continue; fi; \
		$(UV) venv --quiet --clear --python $$python $(VENV)-$$v || exit 1; \
		$(UV) pip install --quiet --python $(VENV)-$$v/bin/python --constraint constraints.txt \
			--editable ".[basler,demo,device-test,heic,rtsp]" || exit 1; \
		echo "== the device's tests on Python $$v"; \
		$(VENV)-$$v/bin/python -m pytest $(SHARED) tests/edge_app tests/deploy tests/calibration || exit 1; \
	done

# Every dependency of the device, cameras included, has a wheel for 64-bit Arm and JetPack 6's
# Python 3.10 (glibc 2.35; pylon's wheel asks for 2.31).
check-arm64-wheels: | $(UV)
	$(UV) pip install --quiet --dry-run --python-platform aarch64-manylinux_2_31 --python-version 3.10 \
		--only-binary :all: --constraint constraints.txt --target $(VENV)/arm64 -r pyproject.toml \
		--extra basler --extra rtsp

# The wheel a device installs: edge_app alone, with edge-app as its only command.
device-wheel: | $(UV)
	$(BIN)/python packaging/device_wheel.py dist

# The site, in build/site: strictly, so that a link that leads nowhere is an error. Read it there, or
# serve it: it needs no network.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --quiet --strict
	@echo "build/site/index.html"

# Man pages and what shells complete, in share/; `make wheels` puts them into the wheel.
man: $(VENV)/.docs
	rm -rf share
	$(BIN)/python tools/site/manual.py share

# What goes to people: the sources, the wheel with all four commands, and the device's.
wheels: man
	rm -rf dist build/lib build/bdist.*
	$(UV) build --quiet --out-dir dist
	$(BIN)/python packaging/device_wheel.py dist

# Refused unless the version is that of the commit's tag and of a dated section of CHANGELOG.md, and
# nothing is uncommitted. Then all of that, lists of what is installed with each wheel (CycloneDX), and
# everybody's sha256.
release: | $(UV)
	@$(BIN)/python packaging/release.py check
	$(MAKE) wheels
	$(BIN)/python packaging/release.py describe dist

# mypy reads all tests, strictly like the rest. Files of one name are one module for it: each conftest.py
# is read by itself. What makes the fixtures of release 0.1.0 is code of that release, and is not read.
TYPED_TESTS := --exclude '/conftest\.py$$|^tests/fixtures/release_0_1_0/' tests
TESTS_PATH := tests:tools/site
lint: $(VENV)/.full
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=$(TESTS_PATH) $(BIN)/mypy $(TYPED_TESTS)
	for file in $$(find tests -name conftest.py); do MYPYPATH=$(TESTS_PATH) $(BIN)/mypy $$file || exit 1; done
	$(BIN)/lint-imports

format: $(VENV)/.full
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.full
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.end_to_end
	$(BIN)/python -m benchmarks.line_cost

# NVIDIA's builder, 150 MB: with it the tests compile every graph for a GPU that is not here.
tensorrt-rtx: $(VENV)/.full
	$(INSTALL) --editable ".[tensorrt-rtx]"

# Beside the environment, not in it: only the tests that name it use it, 180 MB.
openvino: $(VENV)/.full
	$(UV) pip install --quiet --no-deps --constraint constraints.txt --target $(VENV)/openvino openvino

# Trains the shipped bundle again from the simulated line; ten to twenty minutes on two cores.
demo-bundle: $(VENV)/.full
	$(BIN)/edge-export demo-bundle --product tapered --out edge_app/assets/demo-tapered.bundle

schemas: $(VENV)/.full
	$(BIN)/python -m edge_app.mqtt.schema docs
	$(BIN)/python -m edge_app.page.api.write_document docs

# What a fresh Debian lacks, in one sentence instead of a traceback later.
SYSTEM := python3-venv libgl1 libglib2.0-0
$(UV):
	@$(PYTHON) tools/system_ready.py || { echo "Install what is missing: apt-get install $(SYSTEM)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(WHEELS),--no-index --find-links $(WHEELS)) uv

$(VENV)/.demo: pyproject.toml constraints.txt | $(UV)
	@echo "Installing what the device needs (once) ..."
	$(INSTALL) --editable ".[demo]"
	@touch $@

$(VENV)/.train: pyproject.toml constraints.txt | $(UV)
	@echo "Installing the training environment (once; several GB) ..."
	$(INSTALL) --editable ".[demo,train]"
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: pyproject.toml constraints.txt | $(UV)
	@echo "Installing what makes the site and the man pages (once) ..."
	$(INSTALL) --editable ".[docs]"
	@touch $@

$(VENV)/.full: pyproject.toml constraints.txt | $(UV)
	@echo "Installing the training environment and the test tools (once; several GB) ..."
	$(INSTALL) --editable ".[basler,demo,dev,docs,heic,rtsp,train]"
	@touch $@ $(VENV)/.demo $(VENV)/.docs $(VENV)/.train

clean:
	rm -rf $(VENV) $(VENV)-* build dist share *.egg-info .pytest_cache .mypy_cache .ruff_cache
