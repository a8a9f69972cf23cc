#!/usr/bin/env bash
# Make .venv from uv.lock. (The benchmarks' peers live in an environment of their own: bench/peers/environment.py.)
#
# Everything is checked by hash: uv against tools/uv.txt, packages against uv.lock. Does nothing when .venv is current.
set -euo pipefail
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
# shellcheck source=tools/python.sh
. tools/python.sh

# The stamp covers what .venv is made from: the lock, the project, and the interpreter (the same one inside of .venv).
base=$(python3 -c 'import sys; print(sys.base_prefix, sys.version)' 2>/dev/null || true)
current=$(cat uv.lock pyproject.toml tools/uv.txt - <<<"$base" | sha256sum | cut -c1-64)
stamp=.venv/.slipway-installed
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$current" ]; then exit 0; fi

check_python
cache=${SLIPWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slipway}
uv=$cache/uv/$(sha256sum <tools/uv.txt | cut -c1-16)/uv
if [ ! -x "$uv" ]; then
  echo "installing uv" >&2
  building=$(mktemp -d)
  trap 'rm -rf "$building"' EXIT
  python3 -m venv "$building/venv"
  "$building/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --require-hashes --requirement tools/uv.txt
  mkdir -p "$(dirname "$uv")"
  cp "$building/venv/bin/uv" "$uv.$$"
  mv "$uv.$$" "$uv"
fi

echo "installing .venv from uv.lock" >&2
# the interpreter itself, where python3 is a wrapper or .venv's own
python=$(python3 -c 'import sys; print(sys._base_executable)')
rm -f "$stamp"
UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=.venv "$uv" sync --frozen --quiet --python "$python"
echo "$current" >"$stamp"
