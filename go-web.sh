#!/usr/bin/env bash
# Installs what is missing into .venv, then opens the page at http://127.0.0.1:7865.
# Arguments go to infer-web.py: bash go-web.sh --port 8000 --no-browser
set -eu
cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null
bash tools/setup.sh
exec .venv/bin/python infer-web.py "$@"
