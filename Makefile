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

# What knows dates, for a run under another clock: our judgement of certificates, lists, records and policies, and
# stories with programs that judge by a clock of their own. Left out: Postfix, rspamd and slapd, whose clocks are not the
# point and which take long; files of vectors, which bring their own moment; and stories that wait for the kernel's
# clock (drain, kill, crash), which nothing shifts.
CLOCK_STORIES := $(addprefix tests/scenarios/, test_smime_interop.py test_smime_in.py test_signature_broken.py \
	test_connectors.py test_dane_oracle.py test_revocation.py test_mta_sts.py test_auth_out.py)
CLOCK_UNITS := $(addprefix tests/unit/, rfc/pkix/test_crl.py rfc/pkix/test_ocsp.py rfc/smimea adapters/judge \
	adapters/tls/test_chain.py adapters/tls/test_staple.py adapters/test_key_ring.py adapters/test_demo_pki.py \
	adapters/test_report_spool.py cli config/test_files.py contract/test_certificates.py policy/test_directory.py \
	policy/test_revocation.py policy/test_sts.py policy/test_report.py queue/test_reports.py)
SHIFTED = env LD_PRELOAD=$(FAKETIME_LIBRARY) FAKETIME=+$(1)d DONT_FAKE_MONOTONIC=1 \
	PYTHONPATH=$(CURDIR)/tests/support/shifted \
	$(BIN)/pytest -q -n auto --dist loadgroup -p no:cacheprovider -k "not pkits"
FAKETIME_LIBRARY = $(firstword $(wildcard /usr/lib/*/faketime/libfaketimeMT.so.1))

.PHONY: run test test-long test-clock crash nemesis mutants check format lock clean

run: $(STAMP)            ## the relay and a partner on loopback, with a throw-away PKI under certs/
	$(BIN)/mta demo --config connectors.yaml

test: $(STAMP)           ## the whole suite
	$(BIN)/pytest -q -n auto --dist loadgroup

test-long: $(STAMP)      ## the same, with many more invented examples
	HYPOTHESIS_PROFILE=long $(BIN)/pytest -q -n auto --dist loadgroup

test-clock: $(STAMP)     ## what knows dates, as it will be in 45 and in 400 days (needs Debian's faketime)
	@test -n "$(FAKETIME_LIBRARY)" || { echo "apt-get install faketime"; exit 1; }
	$(call SHIFTED,45) $(CLOCK_STORIES)
	$(call SHIFTED,400) $(CLOCK_STORIES) $(CLOCK_UNITS)

crash: $(STAMP)          ## a power cut at every instant, and a disk that says no (needs Debian's strace; minutes)
	$(BIN)/python -m tests.crash.matrix $(WORKLOADS)

nemesis: $(STAMP)        ## three nodes of a shared queue, and ten minutes of mishaps: make nemesis MTA_NEMESIS=60
	MTA_NEMESIS=$(or $(MTA_NEMESIS),600) $(BIN)/pytest -q -s -p no:cacheprovider tests/scenarios/nemesis.py

mutants: $(STAMP)        ## which changes of a decision no test notices: make mutants MODULES="identify deliver"
	$(BIN)/python -m tests.mutants $(MODULES)

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
	rm -rf .venv var
	[ ! -d certs ] || find certs -mindepth 1 -not -path certs/README.md -delete
