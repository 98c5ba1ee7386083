# Everything starts here: `make demo` to try it, `make test` to trust it. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
TEST_ENV = DJANGO_SETTINGS_MODULE=tests.settings
LOCK = uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url $(ARGS) \
  --custom-compile-command 'make lock' pyproject.toml

# The sources are, whatever the shell's locale is; the demo's lines are for its terminal.
export PYTHONUTF8 = 1
demo: PYTHONUTF8 =
unexport PYTHONDONTWRITEBYTECODE # tests start dozens of processes of the same code

.PHONY: help install demo test coverage test-all check docs chaos hosts attack defects screenshots lighthouse bench lock messages language schema format
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.dev  ## the virtual environment, with everything needed to run and to test

# The locks are complete and hashed, so pip has nothing to resolve: no pip, old or new, can choose other versions.
# Processes compile what they import when they first need it, which is a part of all that is installed.
$(VENV)/.%: requirements/%.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Doorcode needs Python 3.11 or newer: make PYTHON=python3.12 … / 需要 Python 3.11 或更高版本'; exit 1; }
	$(PYTHON) -m venv $(VENV)

demo: $(VENV)/.demo  ## the whole system on http://127.0.0.1:8000 (PORT=…)
	@$(BIN)/python -m signup.demo --port $(or $(PORT),8000) $(ARGS)

test: install  ## the test suite; tests whose server the machine lacks are skipped, and named
	$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder --durations=15 $(ARGS)

coverage: install  ## the same, and which lines and branches it leaves out: it takes nearly twice as long
	$(BIN)/coverage erase
	$(MAKE) test ARGS="--cov --cov-report=term:skip-covered $(ARGS)"

test-all:  ## the apps' tests on each Python 3.11 to 3.14 of this machine, with Django 5.2 and the newest 6 (ARGS=-n0)
	@bash tests/tools/versions.sh $(ARGS)

check: install  ## lint, types, import contract, catalogues, migrations, deployment checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.tools.catalogues --check
	$(TEST_ENV) $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/bandit -q -r core verification worker signup -ll  # lower severities: ruff's S rules, at the line
	env -i $$(grep -v '^#' docs/production.env) SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(50))') \
	  $(BIN)/python manage.py check --deploy --fail-level WARNING

docs: install  ## the pages of docs/ as a site, into build/docs; fails for a broken link
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --builder html docs build/docs

chaos: install  ## break everything at random for SECONDS=60, with SEED=1, and count the lost mails
	@$(BIN)/python -m tests.faults.chaos --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1)

hosts: install  ## eight hosts, by network namespaces: each cut off and slowed in turn under load (needs root; ARGS="--only 'redis cut off'")
	@$(BIN)/python -m tests.faults.hosts $(ARGS)

attack: install  ## simulate attackers and 1,000 honest people for a day, against the limits of guesses and mails
	@$(BIN)/python -W ignore -m tests.attacks $(ARGS)

defects: install  ## plant each known mistake in a copy, and see its test turn red (ARGS="--only 7 8")
	@$(BIN)/python -m tests.attacks.defects $(ARGS)

screenshots: install  ## every screen in every language, light and dark, wide and narrow, into build/screenshots
	SHOTS=1 $(BIN)/python -m pytest tests/browser/test_screens.py

lighthouse: install  ## Lighthouse at every page of the journey, and a scripted person's fields and keys (needs npm; PUBLISH=1: into the docs)
	@$(BIN)/python -m tests.tools.lighthouse $(if $(PUBLISH),--publish)

bench: install  ## Doorcode beside the floor and beside a peer, as ratios (ONLY="signup mails", SCALE=0.2, PUBLISH=1: into the docs)
	@$(BIN)/python -m tests.bench $(ONLY) --scale $(or $(SCALE),1) $(if $(BACKLOG),--backlog $(BACKLOG)) $(if $(PUBLISH),--publish)

messages: install  ## bring the catalogues up to date with the sources, and compile them (CODE=ar: one of them)
	$(BIN)/python -m tests.tools.catalogues --update $(if $(CODE),--only $(CODE))

language: install  ## begin a new language: make language CODE=ar
	$(BIN)/python -m tests.tools.catalogues --add $(CODE)

schema: install  ## bring docs/reference/openapi.yaml up to date with the API
	$(TEST_ENV) $(BIN)/python manage.py spectacular --generator-class signup.api.schema.Generator --lang en --validate --fail-on-warn --file docs/reference/openapi.yaml

format: install  ## ruff's formatting and safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock:  ## requirements/*.txt from pyproject.toml, keeping pins that still hold (needs uv; ARGS=--upgrade for newer ones)
	$(LOCK) -o requirements/base.txt
	$(LOCK) --group demo -c requirements/base.txt -o requirements/demo.txt
	$(LOCK) --extra anymail --group dev -c requirements/demo.txt -o requirements/dev.txt
	$(LOCK) --extra anymail -c requirements/dev.txt -o requirements/anymail.txt
	$(LOCK) --extra ses -c requirements/dev.txt -o requirements/ses.txt
