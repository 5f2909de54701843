# The commands that developers and CI share. `make` alone lists them.
PYTEST_WORKERS ?= 4
# Tests start Python thousands of times: it may keep what it has compiled.
unexport PYTHONDONTWRITEBYTECODE

N ?= 300

.PHONY: help demo test faults faults-random lint format docs site bench dist lock clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## install what is missing, then provision and verify a disposable Debian host (as root)
	script/setup
	.venv/bin/mailprov validate -f examples/quickstart/mail.yaml
	.venv/bin/mailprov rehearse -f examples/quickstart/mail.yaml

test: ## install what is missing, then run every test and every check (as root)
	script/setup --test
	PYTEST_WORKERS=$(PYTEST_WORKERS) script/test

faults: ## break applies and rollbacks at every step on real hosts; an hour, and writes docs/fault-matrix.md
	script/setup --test
	MAILPROV_FAULTS=$${MAILPROV_FAULTS:-all} .venv/bin/pytest -n $(PYTEST_WORKERS) --dist loadgroup tests/faults

faults-random: ## N=300 trials drawn by chance, fault and moment included; 100 or more write docs/faults-random.md
	script/setup --test
	MAILPROV_FAULTS_TRIALS=$(N) MAILPROV_FAULTS_SEED=$${MAILPROV_FAULTS_SEED:-$$(date +%s)} \
		.venv/bin/pytest -n $(PYTEST_WORKERS) --dist loadgroup tests/faults/test_faults_random.py

lint: ## ruff, mypy --strict, shellcheck
	script/lint

format: ## format the sources
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

docs: ## write anew what is generated in docs/ (help pages, keys of mail.yaml)
	.venv/bin/python script/docs.py

site: ## make the documentation site, in build/site/
	script/setup --test
	.venv/bin/sphinx-build -W --keep-going -q -n -c docs -d build/site-pages . build/site
	@echo 'open build/site/index.html'

bench: ## measure mailprov beside its peers, into docs/benchmarks.md; takes an hour, and may be cut off and run again
	script/setup
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	.venv/bin/python benchmarks/compare.py
	.venv/bin/python benchmarks/page.py

dist: ## make a release of the last commit in dist/: sdist, wheel, mailprov.pyz, SBOM, image, manual page, notes, sums
	script/setup --test
	.venv/bin/python script/dist.py

lock: ## resolve anew what mailprov.pyz and the image hold, into script/release.lock
	script/setup --test
	.venv/bin/python script/wheels.py

clean: ## remove what was built here, the environment included
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
