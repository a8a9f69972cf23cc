# shellcheck shell=bash
# Sourced: check the Python that everything here starts with, and say in a sentence what is wrong with it.
check_python() {
  local advice='Install Python 3.11 or newer (Debian, Ubuntu: apt-get install python3 python3-venv) and run it again.'
  if ! command -v python3 >/dev/null; then
    echo "slipway: python3 is not installed. $advice" >&2
    return 1
  fi
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "slipway: python3 is $(python3 -c 'import platform; print(platform.python_version())'), which is too old. $advice" >&2
    return 1
  fi
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    echo "slipway: python3 cannot make virtual environments. Install its venv module (Debian, Ubuntu: apt-get install python3-venv) and run it again." >&2
    return 1
  fi
}
