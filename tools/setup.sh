#!/usr/bin/env bash
# Finds Python 3.10 to 3.14 and brings .venv up to date; called by go-web.sh and go-test.sh.
set -eu
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null

fits='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))'
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python3.10 python; do
  if command -v "$python" >/dev/null && "$python" -c "$fits" 2>/dev/null; then
    exec "$python" -m tools.cmd.install "$@"
  fi
done
echo "Python 3.10 to 3.14 is needed and was not found. Install it (Debian, Ubuntu:" >&2
echo "sudo apt install python3 python3-venv), or name yours: PYTHON=/path/to/python3 bash go-web.sh" >&2
exit 1
