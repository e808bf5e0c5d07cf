# Needs Python 3.11 or later, pip and make; everything else is fetched into .venv by requirements.lock.
# The distribution's own is preferred where it will do: it was built with profile-guided optimisation, which one built
# on the spot seldom is, and relays a tenth more.
PYTHON ?= $(shell /usr/bin/python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo /usr/bin/python3 || echo python3)
BIN := .venv/bin
STAMP := .venv/.installed
PIP := PIP_ROOT_USER_ACTION=ignore PYTHONUNBUFFERED=1 $(BIN)/pip install --disable-pip-version-check
# Of all that pip says: which package it fetches, that it installs them, and everything from an error on.
NAMES := '/^ *(ERROR|error)/ { bad = 1 } bad { print; fflush() } /^Collecting/ { print "  " $$2; fflush() } /^Installing/ { print "  installing them ..."; fflush() }'

.PHONY: run test check format lock clean

run: $(STAMP)            ## the relay and a partner on loopback, with a throw-away PKI under certs/
	$(BIN)/mta demo --config connectors.yaml

test: $(STAMP)           ## the whole suite
	$(BIN)/pytest -q -n auto --dist loadgroup

check: $(STAMP)          ## format, lint, types, tests
	$(BIN)/ruff format --check mta tests benchmarks
	$(BIN)/ruff check mta tests benchmarks
	$(BIN)/mypy
	$(MAKE) test

format: $(STAMP)
	$(BIN)/ruff format mta tests benchmarks
	$(BIN)/ruff check --fix mta tests benchmarks

$(STAMP): requirements.lock pyproject.toml
	@echo "Making .venv with $(PYTHON): the packages of requirements.lock are fetched and installed, once"
	@$(PYTHON) -m venv .venv
	@{ $(PIP) --progress-bar off --require-hashes -r requirements.lock 2>&1; echo $$? > .venv/.status; } \
	  | awk $(NAMES); \
	  exit $$(cat .venv/.status)
	@$(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lock:                    ## renew requirements.lock from pyproject.toml (needs pip-tools)
	pip-compile --quiet --extra dev --generate-hashes --allow-unsafe --strip-extras \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv certs var
