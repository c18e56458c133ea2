# Everything that a developer does. `make help` lists it. Needs only make and a Python 3.11 to 3.13.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
# processes that begin by the hundred are to find their modules compiled, whatever the shell says
export PYTHONDONTWRITEBYTECODE :=
DEV := .venv
RUN := .venv-run
OLD := .venv-spark35
TOOLS := .venv-tools
PIP := -m pip --disable-pip-version-check --quiet
UV := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate pyproject.toml

.PHONY: help demo test test-spark35 faults soak everywhere lint typecheck format bench dist clean lock python
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUN)/.installed ## a year of flights from change data to Redshift, on this machine
	@$(RUN)/bin/python dags/pipelines/flights/demo.py

test: $(DEV)/.installed $(TOOLS)/.installed ## all tests, with Spark where Java 17 is (PENSTOCK_TEST_SPARK=0 leaves it out)
	@$(DEV)/bin/python -m pytest -n 3 --dist worksteal -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true

SEEDS ?= 20
faults: $(DEV)/.installed ## the fault tests with other seeds: make faults SEEDS=20
	@for seed in $$(seq 1 $(SEEDS)); do PENSTOCK_SEED=$$seed $(DEV)/bin/python -m pytest -n 2 --dist worksteal tests/faults tests/soak || exit 1; done

BATCHES ?= 10000
soak: $(DEV)/.installed ## 10,000 small batches through processes killed at random, against the model (half an hour at most)
	@PENSTOCK_SOAK_BATCHES=$(BATCHES) $(DEV)/bin/python -m pytest -s tests/soak

everywhere: $(DEV)/.installed ## the example on this machine, on its Spark, and through the job APIs of EMR Serverless, EMR and Glue: the same tables; executors with what `make dist` packs alone, drivers and executors that are killed
	@PENSTOCK_TEST_EVERYWHERE=1 $(DEV)/bin/python -m pytest -s tests/integration/test_flights_everywhere.py tests/integration/test_packed.py tests/faults/test_on_spark.py tests/dags

ON_SPARK := tests/contract/test_arriving_on_spark.py tests/contract/test_files_of_spark.py tests/contract/test_merge_on_spark.py tests/contract/test_lake_on_spark.py \
  tests/contract/test_change_rules_on_engines.py tests/contract/test_gate.py
test-spark35: $(OLD)/.installed ## the contract of the Spark engine on Spark 3.5, that of EMR 7 and Glue 5.1
	@$(OLD)/bin/python -m pytest -W default -k "spark" $(ON_SPARK)

lint: $(DEV)/.installed ## style, import arrows, sizes, what must not be committed
	@$(DEV)/bin/ruff check .
	@$(DEV)/bin/ruff format --check .
	@$(DEV)/bin/python scripts/arrows.py
	@$(DEV)/bin/python scripts/sizes.py

typecheck: $(DEV)/.installed ## mypy --strict over all of it, under the one import name
	@$(DEV)/bin/python scripts/typecheck.py

format: $(DEV)/.installed ## put the code into form
	@$(DEV)/bin/ruff check --fix .
	@$(DEV)/bin/ruff format .

bench: $(DEV)/.installed ## merges and maintenance beside their limits and peers, in one run: make bench CASES="flat months" ROWS=1000000
	@$(DEV)/bin/python benchmarks/merge/run.py $(if $(CASES),--cases $(CASES)) $(if $(ROWS),--rows $(ROWS)) $(if $(CHANGES),--changes $(CHANGES)) $(if $(REPEAT),--repeat $(REPEAT))

# what a cluster needs besides Spark: for EMR an archive for PYTHONPATH, for Glue one of wheels; py311 and py313 are the Pythons that they have
CLUSTER ?= py311.zip py313.gluewheels.zip
dist: $(DEV)/.installed $(addprefix dist/cluster-,$(CLUSTER)) ## what a cluster is given: the wheel, the same bytes as .zip, and its dependencies
	@rm -rf build dist/penstock-*
	@SOURCE_DATE_EPOCH=315532800 $(DEV)/bin/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	@cd dist && for w in penstock-*.whl; do cp "$$w" "$${w%-py3-none-any.whl}.zip"; done && ls -l

dist/cluster-%: requirements/cluster.txt scripts/cluster.py | $(DEV)/.installed
	@$(DEV)/bin/python scripts/cluster.py $@

clean: ## remove what make made
	@rm -rf $(DEV) $(RUN) $(OLD) $(TOOLS) build dist .typecheck .mypy_cache .ruff_cache .pytest_cache *.egg-info

lock: ## resolve the four locked sets anew (needs uv)
	@$(UV) --extra demo -o requirements/run.txt
	@$(UV) --extra dev -o requirements/dev.txt
	@$(UV) --extra tables --extra quality --constraint requirements/dev.txt -o requirements/cluster.txt
	@$(UV:pyproject.toml=requirements/tools.in) -o requirements/tools.txt

python:
	@test -n "$(PYTHON)" || { echo "Penstock needs a Python 3.11, 3.12 or 3.13; none was found. Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c pass 2>/dev/null || { echo "$(PYTHON) is not a Python that runs; Penstock needs 3.11, 3.12 or 3.13"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); Penstock needs 3.11, 3.12 or 3.13"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(DEV)/.installed: requirements/dev.txt pyproject.toml | python
	@echo "installing the development set into $(DEV)"
	@$(PYTHON) -m venv $(DEV)
	@$(DEV)/bin/python $(PIP) install --no-compile --require-hashes -r requirements/dev.txt
	@$(DEV)/bin/python $(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# its own pyspark lies over the development set
$(OLD)/.installed: requirements/spark35.txt $(DEV)/.installed
	@echo "installing Spark 3.5 into $(OLD)"
	@$(PYTHON) -m venv $(OLD)
	@$(DEV)/bin/python -c "import sysconfig; print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
	  > $$($(OLD)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/development.pth
	@$(OLD)/bin/python $(PIP) uninstall --yes setuptools 2>/dev/null || true # an old one, which Python 3.11 brings, makes no wheels
	@$(OLD)/bin/python $(PIP) install --no-compile --no-deps --no-build-isolation --require-hashes -r requirements/spark35.txt
	@touch $@

# what people use Redshift with, and what does not go into one environment with the rest
$(TOOLS)/.installed: requirements/tools.txt | python
	@echo "installing dbt and SQLAlchemy into $(TOOLS)"
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python $(PIP) install --no-compile --no-deps --require-hashes -r requirements/tools.txt
	@touch $@

$(RUN)/.installed: requirements/run.txt pyproject.toml | python
	@echo "installing the run set into $(RUN)"
	@$(PYTHON) -m venv $(RUN)
	@$(RUN)/bin/python $(PIP) install --no-compile --require-hashes -r requirements/run.txt
	@$(RUN)/bin/python $(PIP) install --no-deps --no-build-isolation -e .
	@$(RUN)/bin/python scripts/slim.py
	@touch $@
