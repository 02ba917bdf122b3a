#!/usr/bin/env bash
# Installs what is missing into .venv, then checks and tests everything.
# Arguments go to pytest: bash go-test.sh tests/infer -k chunk, or -m slow for the slow ones.
set -eu
cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null
bash tools/setup.sh --tests

find_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
if ! find_browser >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing Chromium for the tests of the page ..."
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null \
    || echo "Chromium could not be installed; the tests of the page will be left out."
fi

export OMP_NUM_THREADS=1 # workers share the cores: threads that wait for each other would be slow
status=0
.venv/bin/python -m ruff check . || status=1
.venv/bin/python -m ruff format --check . || status=1
.venv/bin/python -m mypy || status=1
.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@" || status=1
exit $status
