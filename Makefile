# make demo                                   the main job on the clip in samples/
# make demo VIDEO=clip.mp4 BOX=100,120,300,400    the same on your own (several boxes: BOX="… …")
# make test     make test-slow     make test-ros2     make test-netns     make test-lowest     make test-openvino     make test-models
# make test-text     make test-label-studio     make test-ray     make test-install     make test-pins
# make lint     make docs     make bench     make keywords     make graphs     make fuzz     make clean
# make faults   at least 200 processes killed or stopped at random; some twenty minutes
# make soak     an hour live and an hour lossless: memory, file descriptors, latency

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
OPENVINO := .venv-openvino
MODELS := .venv-models
TEXT := .venv-text
STUDIO := .venv-label-studio
MOBILE_SAM ?= git+https://github.com/ChaoningZhang/MobileSAM
RAY := .venv-ray
INSTALLED := $(VENV)/.installed
VIDEO ?=
BOX ?=
OUT ?= out/demo
PYTEST ?=
FUZZ_SECONDS ?= 60

.PHONY: demo test test-ros2 test-netns test-slow test-lowest test-openvino test-models test-text test-label-studio test-ray \
	test-install test-pins faults soak lint docs bench keywords graphs fuzz install clean

demo: $(INSTALLED)
	$(BIN)/python samples/demo.py --output "$(OUT)" $(if $(VIDEO),"$(VIDEO)") $(foreach box,$(BOX),--box=$(box))

# Two at once, then those that must be alone.
test: $(INSTALLED)
	$(BIN)/python tests/quick.py $(PYTEST)

# Needs Fast DDS, its generator and a compiler: apt-get install g++ libfastrtps-dev fastddsgen default-jre-headless
test-ros2: $(INSTALLED)
	$(BIN)/python -m pytest -m fastdds $(PYTEST)

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow $(PYTEST)

# Two network namespaces with a long cable that loses packets and is cut: needs root, iproute2 and /dev/net/tun.
test-netns: $(INSTALLED)
	STREAMSEG_NETNS=1 $(BIN)/python -m pytest -m netns tests/remote $(PYTEST)

# In an environment of its own, since what has OpenVINO computes with it.
test-openvino:
	test -x $(OPENVINO)/bin/python || $(PYTHON) -m venv $(OPENVINO)
	$(OPENVINO)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,openvino]'
	$(OPENVINO)/bin/python -m pytest tests/sam tests/runtime tests/recovery tests/cli/commands/test_run_command.py $(PYTEST)

# Wheel and sdist into empty environments. PYTHONS="python3.12 python3.13": with these; INSTALL="--full --extras": all of it.
test-install:
	$(PYTHON) tests/install.py --resolve
	$(PYTHON) tests/install.py $(PYTHONS) $(INSTALL)

# Without installing anything: each extra fits the pinned versions, and the lowest. Then the main job and a few tests with these.
test-pins:
	$(PYTHON) tests/install.py --resolve --lowest

# In an environment of its own, with the packages that the models of others are compared with. The first is on no index.
test-models:
	test -x $(MODELS)/bin/python || $(PYTHON) -m venv $(MODELS)
	$(MODELS)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,bench]' timm
	$(MODELS)/bin/python -m pip install --disable-pip-version-check -q --no-deps '$(MOBILE_SAM)'
	SAM2_BUILD_CUDA=0 $(MODELS)/bin/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation sam2==1.1.0
	$(MODELS)/bin/python -m pytest tests/sam/test_models_with_their_references.py $(PYTEST)

# Label Studio is in an environment of its own: it pins much of what streamseg uses too.
test-label-studio: $(INSTALLED)
	test -x $(STUDIO)/bin/python || $(PYTHON) -m venv $(STUDIO)
	$(STUDIO)/bin/python -m pip install --disable-pip-version-check -q label-studio==1.23.2
	LABEL_STUDIO=$(STUDIO)/bin/label-studio $(BIN)/python -m pytest -m label_studio $(PYTEST)

# In an environment of its own: transformers and what it brings are for those who want to find things by words.
test-text:
	test -x $(TEXT)/bin/python || $(PYTHON) -m venv $(TEXT)
	$(TEXT)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,text]'
	$(TEXT)/bin/python -m pytest tests/nodes/test_text_detector.py $(PYTEST)

# A Ray cluster of several nodes, and an S3 server, on this machine.
test-ray:
	test -x $(RAY)/bin/python || $(PYTHON) -m venv $(RAY)
	$(RAY)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,ray,cloud]' 'moto[server]'
	$(RAY)/bin/python -m pytest tests/batches $(PYTEST)

faults: $(INSTALLED)
	$(BIN)/python tests/faults.py

soak: $(INSTALLED)
	$(BIN)/python benchmarks/soak.py

# In an environment of its own, with the lowest versions that pyproject.toml allows.
test-lowest:
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --disable-pip-version-check -q -c constraints-lowest.txt -e '.[dev]'
	$(LOWEST)/bin/python tests/quick.py $(PYTEST)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# About an hour, nearly all of it for the 20,000 frames; the machine should have nothing else to do.
bench: $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,bench]'
	SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation sam2==1.1.0
	$(BIN)/python benchmarks/handover.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/models.py
	$(BIN)/python benchmarks/recording.py
	$(BIN)/python benchmarks/own_loop.py
	$(BIN)/python benchmarks/listening.py
	$(BIN)/python benchmarks/memory.py

# The documentation as a site, in out/site; a warning, or a link that leads nowhere, is an error.
docs: $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,docs]'
	$(BIN)/python docs/site/make.py out/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The type of segment_video's keywords anew, after a change of the nodes' options.
keywords: $(INSTALLED)
	$(BIN)/python tests/keywords.py

# The bundled model's ONNX graphs anew, after a change of its network.
graphs: $(INSTALLED)
	$(BIN)/python -m streamseg.sam.exporting

# FUZZ_SECONDS for each target; findings are in out/fuzz.
fuzz: $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,fuzz]'
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS)

install: $(INSTALLED)

# Installed anew only when what is to be installed has changed.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "streamseg needs Python 3.11 or newer; say which: make PYTHON=python3.12 …"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) $(OPENVINO) $(MODELS) $(TEXT) $(STUDIO) $(RAY) out build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
