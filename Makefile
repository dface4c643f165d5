# `make search` and `make test` are all that a fresh clone needs.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: search build test fuzz lint clean

# Nine minutes on two cores: winners have a quick look at a third of the resolution. Without that it takes an hour and a
# half.
search: $(INSTALLED)
	$(VENV)/bin/bft-nas search --flops 50M --confirm-divisor 3

# Compiles the C sources anew where they changed.
build: $(INSTALLED)

# Three files of tests at once, on two cores: much of what they wait for is a browser, a database or a cluster. Each with a
# thread where it does not ask for several: two that wait for one another take a third more of the cores.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(VENV)/bin/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# Ten minutes: thousands of random command lines, none of which may end in a traceback or leave half of a run.
fuzz: $(INSTALLED)
	$(VENV)/bin/python -m tests.fuzz --lines 2000

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

$(INSTALLED): pyproject.toml setup.py $(wildcard bft_nas/kernels/csrc/*.[ch] bft_nas/kernels/csrc/*/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable ".[dev]"
	@if test -f bft_nas/kernels/build.log; then echo "The kernels were not built; PyTorch runs instead, slower:"; \
		cat bft_nas/kernels/build.log; fi >&2
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
