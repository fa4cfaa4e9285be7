# shellcheck shell=bash
# What scripts/demo and scripts/test share; sourced with the repository's root as working directory.

note() { printf '%s\n' "$*" >&2; }

# as_root COMMAND...: run it as root; fails where there is no way to.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif can_sudo; then
    sudo "$@"
  else
    note "This needs root, and sudo cannot be used: $*"
    return 1
  fi
}

# can_sudo: whether sudo is there, and may be used without a password or can ask for one.
can_sudo() { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }

# quietly COMMAND...: show its output only when it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  [ "$status" -eq 0 ] || { note "Failed: $*"; tail -n 20 "$log" >&2; }
  rm -f "$log"
  return "$status"
}

# need_packages PACKAGE...: install Debian packages; without any, does nothing.
need_packages() {
  [ "$#" -gt 0 ] || return 0
  local packages=("$@")
  command -v apt-get >/dev/null || { note "Please install: ${packages[*]}"; return 1; }
  note "Installing ${packages[*]} (Debian packages) ..."
  quietly as_root apt-get update -q || return 1
  # Since Debian 13 the docker command is a package of its own.
  if [[ " ${packages[*]} " == *" docker.io "* ]] && apt-cache show docker-cli >/dev/null 2>&1; then
    packages+=(docker-cli)
  fi
  quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
}

# find_python: print the name of a Python that is new enough.
find_python() {
  local python
  for python in python3 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  note "Python 3.11 or later is needed, and none of python3, python3.13, python3.12, python3.11 is that."
  return 1
}

# ensure_venv: make .venv with the project and its test tools in it; does nothing when it is up to date.
ensure_venv() {
  local python wanted
  python=$(find_python)
  # A clone that was moved, another Python or other requirements: made anew.
  wanted=$({ pwd; "$python" -VV; cat setup.cfg pyproject.toml; } | sha256sum)
  if [ -x .venv/bin/python ] && [ "$(cat .venv/made-from 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  "$python" -c 'import ensurepip, venv' 2>/dev/null || need_packages "$python-venv"
  note "Installing into .venv ..."
  rm -rf .venv
  quietly "$python" -m venv .venv
  quietly .venv/bin/python -m pip install --disable-pip-version-check -e '.[test]'
  printf '%s\n' "$wanted" >.venv/made-from
}

# engine_answers: whether a Docker engine is there already that we may use.
engine_answers() { .venv/bin/python -m tests.support.finding; }

# ensure_engine_packages: install what an engine needs: little where one is there, else a private one's daemon.
# Fails where that cannot be; a container without privileges is spared the download.
ensure_engine_packages() {
  local missing
  if [ -n "${DOCKER_HOST:-}" ] || [ -S /var/run/docker.sock ]; then
    mapfile -t missing < <(.venv/bin/python -m tests.support.packages client)
    need_packages "${missing[@]}"
    ! engine_answers || return 0
  fi
  as_root unshare --net true 2>/dev/null || return 1
  mapfile -t missing < <(.venv/bin/python -m tests.support.packages)
  need_packages "${missing[@]}"
}
