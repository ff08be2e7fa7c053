# The one door: `make check` before every commit, `make full` for everything. CI calls the same.
PYTHON ?= python
PYTEST = $(PYTHON) -m pytest

.PHONY: check full lint types imports test e2e data

check: lint types imports test e2e

full: check
	$(PYTEST) tests -m full -n 2 --dist loadfile
	$(PYTHON) -m meshlab.cli.main course test

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m meshlab.cli.main course lint

types:
	$(PYTHON) -m mypy

imports:
	lint-imports

test:
	$(PYTEST) tests/unit tests/functional -m "not full" -n 2

e2e:
	$(PYTEST) tests/e2e -m "not full" -n 2 --dist loadfile
