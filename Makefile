# `make demo` and `make test` need Python 3.11 and make, nothing else: each builds .venv by itself.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
SERVE  ?=

.DEFAULT_GOAL := help

help: ## show this table
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

install: $(STAMP) ## build .venv

demo: $(STAMP) ## screen the bundled teaching cohort through a FHIR server in this process
	$(BIN)/fhir-adapter demo $(if $(SERVE),--serve)

test test-deep test-servers coverage: export PYTHONDONTWRITEBYTECODE := # each process would compile everything again
test: $(STAMP) ## everything offline but for slow tests, in a few minutes
	$(BIN)/python -m pytest -n auto --dist worksteal

test-deep: $(STAMP) coverage ## slow tests, coverage floors, properties at length, fuzz, crash runs
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest -n auto -m "deep or property" --timeout=900

coverage: $(STAMP) ## all offline tests but for properties, slow ones too, and the floors that hold
	$(BIN)/python -m pytest -n auto -m "not deep and not property and not server and not servers" --timeout=300 --cov --cov-report=term-missing:skip-covered
	$(BIN)/python -m tests.coverage_gate

ENGINES := sail spark
servers: $(ENGINES:%=.servers/%/.installed) servers-cql servers-fhir ## build the environments of other engines and servers (needs Java 17, Maven, Node 20, PostgreSQL)

.servers/%/.installed: requirements/%.txt
	test -x .servers/$*/bin/python || $(PYTHON) -m venv .servers/$*
	.servers/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

HAPI := $(CURDIR)/.servers/hapi
servers-fhir: .servers/hapi/.installed .servers/medplum/.installed .servers/oidc/.installed # FHIR servers of others
.servers/hapi/.installed: tests/servers/hapi/pom.xml $(wildcard tests/servers/hapi/src/main/java/servers/*.java)
	rm -rf $(HAPI)
	mvn -q -B -f $< -Dout=$(HAPI)/target package dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(HAPI)/lib
	cp $(HAPI)/target/hapi-for-tests.jar $(HAPI)/
	touch $@

.servers/medplum/.installed .servers/oidc/.installed: .servers/%/.installed: tests/servers/%/package.json
	mkdir -p .servers/$*
	cp $< .servers/$*/package.json
	cd .servers/$* && npm install --silent --no-audit --no-fund --no-package-lock
	touch $@

# what is not there fails: `servers` has just built it
test-servers: export NEED_ENGINES := true
test-servers: servers $(STAMP) ## against engines and servers of others: Sail, Spark, cql-execution, HAPI, Medplum, PostgreSQL
	$(BIN)/python -m pytest -m servers tests/servers/test_real_servers.py
	$(BIN)/python -m pytest -m servers tests/servers/test_cql_oracle.py
	$(BIN)/python -m pytest -m servers tests/servers/test_clinical_reasoning.py
	$(BIN)/python -m pytest -m servers tests/ledger
	.servers/sail/bin/python -m pytest -n auto -m servers tests/servers/test_spark.py
	.servers/spark/bin/python -m pytest -m servers tests/servers/test_spark.py
	$(BIN)/python -m pytest -m servers tests/servers/test_doctor_servers.py tests/servers/test_proof_on_servers.py tests/servers/test_smart_on_real_server.py tests/servers/test_profile_on_hapi.py tests/servers/test_subscription_on_hapi.py tests/servers/test_r5_on_hapi.py

check: $(STAMP) ## format, lint, types, imports, words
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright --level error
	VIRTUAL_ENV=$(CURDIR)/$(VENV) PATH=$(CURDIR)/$(BIN):$$PATH PYTHONPATH=. basedpyright --verifytypes fhir_adapter --ignoreexternal
	$(BIN)/lint-imports
	$(BIN)/codespell --skip "*.min.js" fhir_adapter tests docs mappings README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md

format: $(STAMP) ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## the benchmarks, with ratios
	$(BIN)/python -m benchmarks

CQL := .servers/cql
servers-cql: $(CQL)/.installed ## install the CQL engine of others, for comparison (needs Node 20)
$(CQL)/.installed: benchmarks/eight/cql/package.json
	mkdir -p $(CQL)
	cp benchmarks/eight/cql/package.json $(CQL)/package.json
	cd $(CQL) && npm install --silent --no-audit --no-fund --no-package-lock
	touch $(CQL)/.installed

wheel: $(STAMP) ## build the wheel and run its demo outside this checkout
	rm -rf dist
	$(BIN)/python -m build --no-isolation --wheel --outdir dist
	$(BIN)/python tests/wheel/try_wheel.py dist

lock: $(STAMP) ## pin requirements with hashes again
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --group dev pyproject.toml -o requirements/dev.txt
	for engine in $(ENGINES); do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -c requirements/dev.txt --group $$engine pyproject.toml -o requirements/$$engine.txt || exit 1; done

.PHONY: help install demo test test-deep coverage servers servers-cql servers-fhir test-servers check format bench wheel lock
