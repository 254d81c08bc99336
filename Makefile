# make repro      the environment, then the whole pipeline
# make test       all tests but the long proofs   make test-fast  the quick ones
# make lint       format, types, import contracts make prove      the long proofs
# make ui         MLflow's pages                  make deps       the code dependencies in dvc.yaml
# make dashboard  Optuna's pages on the searches  make lock       new exact versions

PYTHON ?= python3
PORT ?= 5000
DASHBOARD_PORT ?= 8080
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: repro test test-fast prove lint deps ui dashboard lock

repro: $(BIN)/.installed
	@dvc repro

test: $(BIN)/.installed-dev
	@pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not prove" --durations=15

test-fast: $(BIN)/.installed-dev
	@pytest -n 2 --dist loadfile -m "not prove and not pipeline and not slow"

prove: $(BIN)/.installed-dev
	@pytest -m prove -n 2 --dist loadfile --durations=0 --ignore tests/faults/test_rebuild.py
	@pytest -m prove -n 2 --durations=0 tests/faults/test_rebuild.py

lint: $(BIN)/.installed-dev
	@ruff format --check .
	@ruff check .
	@mypy
	@lint-imports
	@python -m tests.support.words

deps: $(BIN)/.installed-dev
	@python -m tests.support.code_dependencies

# The same as a bare `mlflow ui`, but ready in 6 s instead of 23, and with 2 processes instead of 15.
ui: $(BIN)/.installed
	@python -m src.track
	@case "$$MLFLOW_TRACKING_URI" in http*) echo "MLFLOW_TRACKING_URI is set: open $$MLFLOW_TRACKING_URI"; exit;; esac; \
	echo "In about six seconds: http://127.0.0.1:$(PORT)/#/experiments?workflowType=machine_learning (Ctrl-C stops)"; \
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server --workers 1 --host 127.0.0.1 --port $(PORT) \
		--backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

dashboard: $(BIN)/.installed
	@command -v optuna-dashboard > /dev/null || \
		{ echo "optuna-dashboard is missing. Install it: pip install -c requirements.lock '.[dashboard]'"; exit 1; }
	@test -f optuna.log || { echo "optuna.log is missing. A search writes it: dvc repro sweep"; exit 1; }
	@optuna-dashboard --host 127.0.0.1 --port $(DASHBOARD_PORT) optuna.log

# The lock file has exact versions of everything; a platform may add more packages (CUDA's libraries).
$(BIN)/.installed: requirements.lock
	@echo "Installing into .venv; this takes a minute or two, once"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --requirement requirements.lock
	@touch $@

$(BIN)/.installed-dev: requirements-dev.lock $(BIN)/.installed
	@$(BIN)/pip install --quiet --requirement requirements-dev.lock
	@touch $@

lock:
	$(PYTHON) -m venv .lock
	.lock/bin/pip install --quiet --upgrade pip
	.lock/bin/pip install --quiet .
	( echo "# Exact versions of everything at run time, made by \`make lock\` from pyproject.toml."; \
	  .lock/bin/pip freeze --exclude assay | sed 's/+cpu$$//' | grep -v '^nvidia-' ) > requirements.lock
	.lock/bin/pip install --quiet --group dev --constraint requirements.lock
	( echo "# What development needs on top of requirements.lock, made by \`make lock\`."; echo "-c requirements.lock"; \
	  .lock/bin/pip freeze --exclude assay | sed 's/+cpu$$//' | grep -v -x -F -f requirements.lock | grep -v '^nvidia-' ) \
	  > requirements-dev.lock
	rm -rf .lock
