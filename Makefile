# The verbs of this project; tasks.ps1 has the same ones for Windows, and shows these texts.

PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/snakemake --cores 8 --resources gpu=1

.PHONY: report help bootstrap doctor plan smoke data build eval parse score stats dry-run dag verify jobs label gate check-config check test lint rulegraph requirements llama-cpp demo-model clean
.PHONY: programs

## report: build results/report.html (sets up .venv first)
report: .venv/ready
	@$(RUN) results/report.html

## help: list these verbs
help:
	@sed -n 's/^## //p' Makefile

## bootstrap: set up .venv, or bring it up to date
bootstrap: .venv/ready

## doctor: show what is ready for a run, what is not, and what fixes it
doctor:
	@$(or $(wildcard $(BIN)/python),$(PYTHON)) -m workflow_scripts.doctor

## plan: show what a run would send and cost
plan: .venv/ready
	@$(BIN)/snakemake plan

## smoke: try the whole pipeline on ten items per data set, in results/smoke
smoke: .venv/ready
	@$(RUN) --config experiment=smoke limit_items=10 results/smoke/report.html

## data: run to the items of all data sets
data: .venv/ready
	@$(RUN) stage_data

## build: run to the requests
build: .venv/ready
	@$(RUN) stage_build

## eval: run to the answers
eval: .venv/ready
	@$(RUN) stage_eval

## parse: run to the tables of answers
parse: .venv/ready
	@$(RUN) stage_parse

## score: run to the scores
score: .venv/ready
	@$(RUN) stage_score

## stats: run to the statistics
stats: .venv/ready
	@$(RUN) stage_stats

## dry-run: show what a run would do
dry-run: .venv/ready
	@$(BIN)/snakemake -n

## dag: write the graph of jobs to dag.dot, for graphviz
dag: .venv/ready
	$(BIN)/snakemake --dag results/report.html > dag.dot

## verify: check that nothing in results/ was changed after it was made
verify: .venv/ready
	@$(BIN)/python -m workflow_scripts.verify.results --results results

## jobs: show the batch jobs at the providers, and how to cancel one
jobs: .venv/ready
	@$(BIN)/snakemake jobs

## label: write the pages on which people label responses
label: .venv/ready
	@$(RUN) label

## gate: exit code 0 if nothing got worse (make itself ends with 2 for 1 to 3; it prints the code)
gate: .venv/ready
	@$(RUN) gate

## check-config: validate all shipped configs
check-config: .venv/ready
	@$(BIN)/python -m workflow_scripts.config.check config

## check: lint, types and the quick tests; needs nothing besides Python
check: lint
	$(BIN)/python -m pytest -n 2 -m "not program and not workflow and not slow"

## test: lint, types and all tests; needs browsers, TeX and LibreOffice, and offers to install them
test: programs lint
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

programs:
	sh tests/install_programs.sh

## lint: style, types and configs; no tests
lint: .venv/ready-for-tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/python -m workflow_scripts.config.check config
	$(BIN)/mypy

## rulegraph: redraw docs/rulegraph.svg (needs graphviz)
rulegraph: .venv/ready
	$(BIN)/snakemake --rulegraph results/report.html | dot -Tsvg > docs/rulegraph.svg

## requirements: renew the pins from pyproject.toml
requirements: .venv/ready-for-tests
	$(BIN)/python -m pip install uv
	$(BIN)/uv pip compile --quiet --universal --upgrade --no-header --no-annotate \
		--no-emit-index-url pyproject.toml --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --universal --upgrade --no-header --no-annotate \
		--no-emit-index-url --extra test --constraint requirements.txt pyproject.toml \
		--output-file envs/test.txt
	$(BIN)/uv pip compile --quiet --universal --no-deps --no-header --no-annotate \
		--no-emit-index-url --group llama-cpp --constraint envs/test.txt --output-file envs/llama-cpp.txt
	$(BIN)/uv pip compile --quiet --universal --no-deps --no-header --no-annotate \
		--no-emit-index-url --group nli --constraint envs/test.txt --output-file envs/nli.txt
	$(BIN)/uv pip compile --quiet --universal --no-deps --no-header --no-annotate \
		--no-emit-index-url --group rag --constraint envs/test.txt --output-file envs/rag.txt

# What llama.cpp is compiled for, by GPU.
CMAKE_cpu := -DGGML_NATIVE=on
CMAKE_cuda := -DGGML_CUDA=on
CMAKE_metal := -DGGML_METAL=on
CMAKE_vulkan := -DGGML_VULKAN=on
GPU ?= cpu

## llama-cpp: compile llama-cpp-python; GPU=cuda, metal or vulkan (PowerShell: -Gpu cuda)
llama-cpp: export CMAKE_ARGS = $(CMAKE_$(GPU))
llama-cpp: .venv/ready
	$(if $(CMAKE_$(GPU)),,$(error GPU is cpu, cuda, metal or vulkan))$(BIN)/python -m pip install --force-reinstall --no-deps --no-cache-dir --requirement envs/llama-cpp.txt

## demo-model: train the embedded models anew (torch is large; training takes about an hour)
demo-model: .venv/ready
	$(BIN)/python -m pip install --requirement envs/demo-model.txt --requirement envs/rag.txt
	$(BIN)/python -m tools.demo_model.questions.items --out-dir resources/demo
	$(BIN)/python -m tools.demo_model.structured.items --out-dir resources/demo
	$(BIN)/python -m tools.demo_model.cited.items --out-dir resources/demo
	$(BIN)/python -m tools.demo_model.train assay-demo --out results/demo-model/questions.pt
	$(BIN)/python -m tools.demo_model.export \
		--checkpoint results/demo-model/questions.pt --out resources/models/assay-demo.gguf
	$(BIN)/python -m tools.demo_model.questions.evaluate --model resources/models/assay-demo.gguf
	$(BIN)/python -m tools.demo_model.agreement --model resources/models/assay-demo.gguf
	$(BIN)/python -m tools.demo_model.train assay-structured --out results/demo-model/structured.pt \
		--steps 1200 --curriculum-steps 300 --batch 8 --length 320 --threads 1
	$(BIN)/python -m tools.demo_model.export \
		--checkpoint results/demo-model/structured.pt --out resources/models/assay-structured.gguf
	$(BIN)/python -m tools.demo_model.train assay-cited --out results/demo-model/cited.pt \
		--begin-with resources/models/assay-demo.gguf --layers 5 --full-precision --threads 1 \
		--steps 1000 --curriculum-steps 400 --batch 8 --length 480
	$(BIN)/python -m tools.demo_model.export \
		--checkpoint results/demo-model/cited.pt --out resources/models/assay-cited.gguf
	$(BIN)/python -m tools.demo_model.encoder.train --out results/demo-model/encoder.pt
	$(BIN)/python -m tools.demo_model.export \
		--checkpoint results/demo-model/encoder.pt --out resources/models/assay-encoder.gguf
	$(BIN)/python -m tools.demo_model.encoder.evaluate --model resources/models/assay-encoder.gguf

## clean: delete .venv and .snakemake; results/ stays, because it holds paid answers
clean:
	rm -rf .venv .snakemake

# uv takes a third of pip's time. It does not know the mirrors that pip is set up for.
.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), 'Assay needs Python 3.11 or newer'"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "Installing the pinned requirements"
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --requirement requirements.txt || \
		$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/ready-for-tests: .venv/ready envs/test.txt
	@echo "Installing what the tests need; llama.cpp is compiled, which takes some minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement envs/test.txt
	@touch $@
