# Every target sets up what it needs by itself, from PyPI, in .venv. A target whose lock has not changed starts at once.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SET_UP = @command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here: install Python 3.11 or newer."; exit 1; }; \
	$(PYTHON) requirements/install.py --venv $(VENV)

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types layers audit install install-kd install-dev install-gpu lock

help: ## What can be made (this list)
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ## The main job on two portraits, teacher and student; no torch, no network but PyPI
	$(SET_UP) demo
	@$(BIN)/python -m demo

test: ## All tests
	$(SET_UP) dev
	$(BIN)/pytest
	@echo "make test: every test passed; tests that were skipped say above what they need."

check: lint types layers test ## What CI runs: style, types, layers, tests; known vulnerabilities are only reported
	-@$(BIN)/python requirements/audit.py
	@echo "make check: style, types, layers and tests are in order."

lint:
	$(SET_UP) dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(SET_UP) dev
	$(BIN)/mypy

layers:
	$(SET_UP) dev
	$(BIN)/lint-imports

audit: ## Known vulnerabilities in the locks; fails when there is one
	$(SET_UP) dev
	@$(BIN)/python requirements/audit.py

install: ## The programs index and app, to build galleries and serve them
	$(SET_UP) serve

install-kd: ## … and kd, to train students (torch)
	$(SET_UP) kd

install-dev: ## … and the tools that the tests need
	$(SET_UP) dev

install-gpu: VENV = .venv-gpu
install-gpu: ## index and app for an NVIDIA GPU, in .venv-gpu: its faiss and the others' are called the same
	$(SET_UP) gpu

lock: ## Write requirements/*.txt again with today's versions
	$(SET_UP) build
	$(BIN)/python requirements/lock.py
