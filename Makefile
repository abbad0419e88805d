# Everything here works on a fresh machine with Python >= 3.10 and make; each target builds the environment it needs.
#   make demo      the shipped model on a synthesised lunar day (no TensorFlow): catalogue, segments, a picture
#   make test      all tests, in a full environment and in two lander environments
#   make long      those that make test leaves to it, because shorter ones show much of the same
#   make pipeline  synthesise, train `tiny`, convert, run, bench: the whole line on synthetic records
#   make conformance  every kind of layer converted and measured: docs/conformance.md, the table in docs/convert.md
#   make survey    networks that people have published, converted: docs/conversion-survey.md (an hour)
#   make arm       the aarch64 wheels, emulated, find what this machine's find (needs qemu-user-static and mmdebstrap)
#   make clocks    days of records with wrong clocks and headers: the largest error of an onset, day by day (six minutes)
#   make rotten    each file of a run folder damaged in each way: a live run starts and goes on (two minutes)
#   make archive   the archive killed at more instants, and below more size limits
#   make c99       the detector in C against the runner: all records, Cortex-M boards, fuzzing (docs/c99.md; half an hour)
#   make pages     the station's page in Chromium: reviews, live update, a million events, axe-core (docs/serve.md)
#   make scan-proof  a scan against one serial run, kills, two drivers, 100 000 shards, cost (docs/scan.md; hours)
#   make check     format, lint, types, tests
#   make bench     everything measured, in the lander environments too, and compared with docs/results (docs/costs.md):
#                  make bench DATA=/path/to/records ALSO=another/network/to/compare/with.json
# A particular interpreter: make PYTHON=python3.11 demo

PYTHON ?= python3
DATA ?= $(or $(EDGEQUAKE_DATA),../shared/data)
OUT ?= out
# Tests run side by side, one process a core.
JOBS ?= auto
# The network of the original brief, trained on the same records, is measured beside the shipped ones.
ALSO ?= train/models/seed-spectrogram/seed-spectrogram.json

ENV := .venv
DEMO_ENV := .env-demo
PIP := -m pip --disable-pip-version-check -q
QUIET := PYTHONWARNINGS=ignore TF_CPP_MIN_LOG_LEVEL=3

.DELETE_ON_ERROR:
.PHONY: demo test long golden studies pipeline conformance survey arm clocks flatness rotten archive c99 pages scan-proof check format bench picture landers environments lander-environments clean

$(ENV)/ready: EXTRAS = dev
$(DEMO_ENV)/ready: EXTRAS = cli,edge
$(ENV)/ready $(DEMO_ENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "edgequake needs Python 3.10 or newer; name one with: make PYTHON=python3.11"; exit 1; }
	@echo "setting up $(@D)"
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python $(PIP) install -e '.[$(EXTRAS)]'
	@touch $@

demo: $(DEMO_ENV)/ready
	@rm -rf $(OUT)/demo
	$(DEMO_ENV)/bin/edgequake synth --kind day --seed 1 --out $(OUT)/demo/day
	$(DEMO_ENV)/bin/edgequake run $(OUT)/demo/day/*.mseed --out $(OUT)/demo/run
	$(DEMO_ENV)/bin/edgequake plot $(OUT)/demo/run --out $(OUT)/demo/day.png
	@echo; echo "moonquakes in the synthesised day:"; cut -d, -f7 $(OUT)/demo/day/catalog.csv | tail -n +2
	@echo "events found, with their peak probability:"; cut -d, -f2,10 $(OUT)/demo/run/catalog.csv | tail -n +2 | tr , ' '
	@echo; echo "catalogue  $(OUT)/demo/run/catalog.csv"
	@echo "segments   $(OUT)/demo/run/segments/"
	@echo "picture    $(OUT)/demo/day.png"

pipeline: $(ENV)/ready
	@rm -rf $(OUT)/pipeline
	$(ENV)/bin/edgequake synth --kind dataset --seed 1 --out $(OUT)/pipeline/data
	$(QUIET) $(ENV)/bin/edgequake train tiny --data $(OUT)/pipeline/data --out $(OUT)/pipeline/training
	$(QUIET) $(ENV)/bin/edgequake convert $(OUT)/pipeline/training/tiny.keras --out $(OUT)/pipeline/model
	$(ENV)/bin/edgequake run --model $(OUT)/pipeline/model/tiny.json $(OUT)/pipeline/data/moon --out $(OUT)/pipeline/run
	$(ENV)/bin/edgequake bench accuracy --model $(OUT)/pipeline/model/tiny.json --data $(OUT)/pipeline/data --split test
	$(ENV)/bin/edgequake bench latency --model $(OUT)/pipeline/model/tiny.json --rounds 2 --no-baselines

test: landers
	@EDGEQUAKE_LANDER_PYTHONS="$$(cat .env-landers)" EDGEQUAKE_DATA="$(DATA)" $(QUIET) \
		$(ENV)/bin/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

conformance: landers
	EDGEQUAKE_LANDER_PYTHONS="$$(cat .env-landers)" $(QUIET) $(ENV)/bin/python studies/conversion/conformance.py
	EDGEQUAKE_LANDER_PYTHONS="$$(cat .env-landers)" $(QUIET) $(ENV)/bin/python studies/conversion/plain_route.py
	EDGEQUAKE_LONG_CONFORMANCE=1 EDGEQUAKE_LANDER_PYTHONS="$$(cat .env-landers)" $(QUIET) \
		$(ENV)/bin/python -m pytest -q tests/convert/test_conformance.py tests/convert/test_any_network.py

survey: landers
	EDGEQUAKE_LANDER_PYTHONS="$$(cat .env-landers)" $(QUIET) $(ENV)/bin/python studies/conversion/survey.py

# Two environments as a lander would have them, with the wheel that a user would install.
landers: environments
	@sh tests/project/lander_environments.sh install $(ENV)/bin/python $(PYTHON) > .env-landers

# The full environment and those of the landers do not depend on each other: made side by side.
environments:
	@$(MAKE) --no-print-directory -j2 $(ENV)/ready lander-environments

lander-environments:
	@sh tests/project/lander_environments.sh prepare $(PYTHON)

# What a Raspberry Pi would run; -rP prints what was the same.
arm: $(ENV)/ready
	@python=$$(sh tests/project/arm_userland.sh $(ENV)/bin/python .env-arm) && EDGEQUAKE_ARM_PYTHON="$$python" \
		EDGEQUAKE_DATA="$(DATA)" $(QUIET) $(ENV)/bin/python -m pytest -q -rPs tests/project/test_arm.py

# -s prints the errors as they are found.
clocks: $(ENV)/ready
	EDGEQUAKE_LONG_CLOCKS=1 OPENBLAS_NUM_THREADS=1 $(QUIET) \
		$(ENV)/bin/python -m pytest -q -s tests/edge/operation/clocks

# A live run in a folder with a million rows against one in an empty folder; -s prints the figures.
flatness: $(ENV)/ready
	EDGEQUAKE_CATALOG_ROWS=1000000 $(QUIET) $(ENV)/bin/python -m pytest -q -s tests/edge/operation/test_flatness.py

# The tests that `make test` leaves out because shorter ones show much of the same.
long: landers
	EDGEQUAKE_LONG=1 EDGEQUAKE_LANDER_PYTHONS="$$(cat .env-landers)" EDGEQUAKE_DATA="$(DATA)" $(QUIET) \
		$(ENV)/bin/python -m pytest -q -n $(JOBS) -m long

# All hashes of fixed inputs, those of a training and a conversion too.
golden: $(ENV)/ready
	EDGEQUAKE_LONG_GOLDEN=1 $(QUIET) $(ENV)/bin/python -m pytest -q -n $(JOBS) tests/project/test_golden.py

# Every script of studies/ in its short form.
studies: $(ENV)/ready
	EDGEQUAKE_LONG_STUDIES=1 $(QUIET) $(ENV)/bin/python -m pytest -q -n $(JOBS) tests/studies

# Every file of a run folder damaged in every way, or a folder instead.
rotten: $(ENV)/ready
	EDGEQUAKE_LONG_ROTTEN=1 $(QUIET) $(ENV)/bin/python -m pytest -q -n $(JOBS) tests/edge/operation/faults/test_rotten_files.py

# The archive killed at more instants, and below more size limits.
archive: $(ENV)/ready
	EDGEQUAKE_LONG_ARCHIVE=1 $(QUIET) $(ENV)/bin/python -m pytest -q -n $(JOBS) tests/edge/archive

# The detector in C: -s prints what was compared, and the figures of the boards.
c99: $(ENV)/ready
	EDGEQUAKE_C99_LONG=1 EDGEQUAKE_REQUIRE_C=1 EDGEQUAKE_REQUIRE_CORTEXM=1 EDGEQUAKE_DATA="$(DATA)" $(QUIET) \
		$(ENV)/bin/python -m pytest -q -s tests/export_c

# The station's page worked with in Chromium; pictures of all screens in out/pages. axe-core comes from npm, where there is one.
pages: $(ENV)/ready
	@mkdir -p $(OUT)/pages/axe
	@cd $(OUT)/pages/axe && { [ -f package/axe.min.js ] || { npm pack --silent axe-core@4.14.1 && tar xzf axe-core-*.tgz; }; } \
		|| echo "no axe-core: accessibility will not be checked"
	EDGEQUAKE_LONG_PAGES=1 EDGEQUAKE_PICTURES=$(OUT)/pages $(QUIET) \
		EDGEQUAKE_AXE="$$(ls $(OUT)/pages/axe/package/axe.min.js 2>/dev/null)" \
		$(ENV)/bin/python -m pytest -q -s -rs tests/serve/web/test_in_browser.py

# A scan at length; ONLY="kills drivers" makes a choice, see studies/scan_proof.py.
scan-proof: $(ENV)/ready
	$(ENV)/bin/python $(PIP) install "s3fs>=2026.2" "moto[server]>=5.2"
	$(QUIET) $(ENV)/bin/python -m pytest -q tests/scan/test_outputs.py -k s3
	EDGEQUAKE_DATA="$(DATA)" OPENBLAS_NUM_THREADS=1 $(QUIET) \
		$(ENV)/bin/python studies/scan_proof.py --out $(OUT)/scan-proof $(if $(ONLY),--only $(ONLY))

check: $(ENV)/ready
	$(ENV)/bin/ruff format --check .
	$(ENV)/bin/ruff check .
	@rm -rf .types build
	@$(ENV)/bin/python $(PIP) install --no-deps --no-build-isolation --target .types .
	$(ENV)/bin/mypy
	@$(MAKE) --no-print-directory test

format: $(ENV)/ready
	$(ENV)/bin/ruff format .
	$(ENV)/bin/ruff check --fix .

bench: landers
	@rm -rf $(OUT)/bench
	EDGEQUAKE_LANDER_PYTHONS="$$(cat .env-landers)" $(QUIET) $(ENV)/bin/edgequake bench all --data $(DATA) \
		--out $(OUT)/bench $(addprefix --also ,$(ALSO)) --check docs/results; gate=$$?; \
	$(ENV)/bin/edgequake report $(OUT)/bench/*.json --out $(OUT)/bench/report.html; exit $$gate

picture: $(ENV)/ready
	$(ENV)/bin/python studies/figures/draw_day.py

clean:
	rm -rf $(ENV) .env-* .types .wheel build out
