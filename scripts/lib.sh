# shellcheck shell=bash
# Functions for scripts/demo, scripts/test and .ci/run, which source this file in the repository's root directory.

note() { printf '%s\n' "$*" >&2; }

# as_root COMMAND...: run it as root, with sudo if needed. Fails if sudo cannot be used.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif can_sudo; then
    sudo "$@"
  else
    note "This command needs root, and sudo cannot be used. Run it as root: $*"
    return 1
  fi
}

# can_sudo: whether sudo is installed, and either needs no password or can ask for one on the terminal.
can_sudo() { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }

# quietly COMMAND...: run it, and print the end of its output only if it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  [ "$status" -eq 0 ] || note_failure "$log" "$*"
  rm -f "$log"
  return "$status"
}

# note_failure LOG COMMAND: say that a command failed, and print the end of its output.
note_failure() {
  note "Failed: $2"
  tail -n 20 "$1" >&2
}

# Seconds to wait for another program that installs packages, such as unattended-upgrades.
APT_PATIENCE=${APT_PATIENCE:-600}

# The last words of apt-get when another program holds one of its locks or a lock of dpkg.
APT_IS_LOCKED='^E: (Could not get lock|Unable to acquire the dpkg frontend lock)'

# apt_get ARGUMENT...: run apt-get as root, and print the end of its output only if it fails. Wait for apt's locks.
apt_get() {
  local log status deadline=$((SECONDS + APT_PATIENCE)) waiting=
  log=$(mktemp)
  while true; do
    status=0
    # apt-get itself waits for dpkg's lock only. It waits for some seconds here, so that a longer wait can be told.
    as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -o DPkg::Lock::Timeout=3 "$@" \
      >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -eq 0 ] || [ "$SECONDS" -ge "$deadline" ] || ! grep -Eq "$APT_IS_LOCKED" "$log"; then
      break
    fi
    [ -n "$waiting" ] || note "Waiting for another program that installs packages: $(grep -m 1 "Could not get lock" "$log")"
    waiting=yes
    sleep 1
  done
  [ "$status" -eq 0 ] || note_failure "$log" "apt-get $*"
  rm -f "$log"
  return "$status"
}

# need_packages PACKAGE...: install these Debian packages. Without arguments it does nothing.
need_packages() {
  [ "$#" -gt 0 ] || return 0
  local packages=("$@")
  command -v apt-get >/dev/null || { note "Please install these packages: ${packages[*]}"; return 1; }
  note "Installing ${packages[*]} (Debian packages) ..."
  apt_get update || return 1
  # Since Debian 13 the docker command is in a separate package.
  if [[ " ${packages[*]} " == *" docker.io "* ]] && apt-cache show docker-cli >/dev/null 2>&1; then
    packages+=(docker-cli)
  fi
  apt_get install -y --no-install-recommends "${packages[@]}"
}

# Seconds that a process group gets to clean up after a signal.
CLEANUP_PATIENCE=120

# run_group COMMAND...: run it in a process group of its own, and return its exit code. SIGINT, SIGTERM and SIGHUP are
# passed on to the whole group, and then this waits until all of it has ended.
run_group() {
  local group status=0 deadline
  set -m
  "$@" </dev/null &
  group=$!
  set +m
  trap 'kill -s INT -- "-$group" 2>/dev/null' INT
  trap 'kill -s TERM -- "-$group" 2>/dev/null' TERM HUP
  wait "$group" || status=$?
  deadline=$((SECONDS + CLEANUP_PATIENCE))
  while kill -0 -- "-$group" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.2; done
  trap - INT TERM HUP
  return "$status"
}

# find_python: print the name of a Python that is 3.11 or later. Fails if there is none.
find_python() {
  local python
  for python in python3 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  note "Please install Python 3.11 or later. Looked for python3, python3.13, python3.12 and python3.11."
  return 1
}

# ensure_venv: create .venv with the project and its test tools. Does nothing if it is up to date.
ensure_venv() {
  local python wanted
  python=$(find_python)
  # .venv is created again if the clone was moved, or if Python or the requirements changed.
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

# engine_answers: whether there is already a Docker engine that can be used.
engine_answers() { .venv/bin/python -m tests.support.finding; }

# What ensure_engine_packages returns if the machine could have an engine, and its packages cannot be installed.
NOT_INSTALLED=2

# ensure_engine_packages: install the packages that an engine needs: the client if there is an engine already, else also
# the daemon of a private engine. Returns 1 if no engine can run here, as in a container without privileges; then it
# does not download the daemon. Returns NOT_INSTALLED if the packages cannot be installed.
ensure_engine_packages() {
  local missing
  if [ -n "${DOCKER_HOST:-}" ] || [ -S /var/run/docker.sock ]; then
    mapfile -t missing < <(.venv/bin/python -m tests.support.packages client)
    need_packages "${missing[@]}" || return "$NOT_INSTALLED"
    ! engine_answers || return 0
  fi
  as_root unshare --net true 2>/dev/null || return 1
  mapfile -t missing < <(.venv/bin/python -m tests.support.packages)
  need_packages "${missing[@]}" || return "$NOT_INSTALLED"
}
