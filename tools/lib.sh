# shellcheck shell=bash
# What the commands in tools/ share. Sourced, never run; the caller has set `TOOL` (its own name).
# Every step first looks whether its work is done, so that a second run installs nothing and takes about a second.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="${STREAMCLF_TEST_VENV:-$ROOT/.venv}" # tools/test --latest has another one
PYTHON="$VENV/bin/python"
LOCKS="${STREAMCLF_TEST_LOCKS:-$ROOT/tools/locks}" # tools/test older has others

say() { printf '%s: %s\n' "$TOOL" "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

usage() {
  say "error: $*"
  exit 2
}

# True where `as_root` can work: as root, or through sudo, which may ask for a password where there is a terminal.
can_be_root() {
  [ "$(id -u)" -eq 0 ] ||
    { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { : </dev/tty; } 2>/dev/null; }; }
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Only its errors are shown: what it installs has been said before.
apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" \
    </dev/null >/dev/null
}

deb_installed() { dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -x installed >/dev/null; }

deb_available() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep '^  Candidate: [^(]' >/dev/null; }

# first_of TEST 'a|b': prints the first of the names that passes TEST.
first_of() {
  local name names
  IFS='|' read -ra names <<<"$2"
  for name in "${names[@]}"; do
    if "$1" "$name"; then
      printf '%s\n' "$name"
      return 0
    fi
  done
  return 1
}

# install_debs WHY NAME...: installs the Debian packages that are missing. NAME may be `a|b`, one name per release of
# the system; with a trailing `?` it is one to go on without, and what needs it then says so by itself.
# Nothing is ever removed: `pulseaudio` in place of a desktop's own sound server would silence that desktop.
install_debs() {
  local why="$1" want name missing=() needed=() plain
  shift
  if ! command -v apt-get >/dev/null; then
    say "this is neither Debian nor Ubuntu; provide these by your own means ($why): $*"
    return 0
  fi
  for want in "$@"; do
    first_of deb_installed "${want%\?}" >/dev/null || missing+=("$want")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  plain=("${missing[@]%\?}")
  can_be_root || die "installing system packages ($why) needs root, and there is no sudo or no terminal to ask on;" \
    "run this once as root: apt-get install ${plain[*]%%|*}"

  apt_update_once
  for want in "${missing[@]}"; do
    name="$(first_of deb_available "${want%\?}" || true)"
    if [ "$want" != "${want%\?}" ]; then
      say "installing ${name:-$want} ($why)"
      { [ -n "$name" ] && apt_get install -y --no-remove --no-install-recommends "$name"; } ||
        say "${want%\?} cannot be installed on this system: going on, what needs it is skipped and says so"
    elif [ -n "$name" ]; then
      needed+=("$name")
    else
      die "no package $want for this system ($why); add the archive component that holds it (Ubuntu: universe)"
    fi
  done
  [ ${#needed[@]} -gt 0 ] || return 0
  say "installing ${needed[*]} ($why)"
  apt_get install -y --no-remove --no-install-recommends "${needed[@]}" || die "apt-get could not install ${needed[*]}"
}

download_deb() { (cd "$1" && apt-get -qq download "$2" >/dev/null 2>&1); }

# unpack_tool TOOL PACKAGE [PLACE]: that one program of a Debian package, into .run/, unless it is there: nothing is
# installed, and no service starts. What needs it is skipped where that cannot be. PLACE: its folder there.
unpack_tool() {
  local tool="$1" package="$2" place="${3:-usr/bin}" folder
  command -v "$tool" >/dev/null && return 0
  [ ! -x "$ROOT/.run/$tool" ] || return 0
  command -v apt-get >/dev/null || return 0
  mkdir -p "$ROOT/.run"
  folder="$(mktemp -d "$ROOT/.run/unpack-XXXXXX")"
  say "taking $tool out of the package $package"
  if { download_deb "$folder" "$package" ||
    { can_be_root && apt_update_once && download_deb "$folder" "$package"; }; } &&
    dpkg-deb --fsys-tarfile "$folder/$package"_*.deb | tar -xO "./$place/$tool" >"$folder/$tool"; then
    chmod +x "$folder/$tool"
    mv "$folder/$tool" "$ROOT/.run/$tool"
  else
    say "$tool cannot be had on this system: going on, what needs it is skipped and says so"
  fi
  rm -rf "$folder"
}

APT_UPDATED=
apt_update_once() {
  [ -z "$APT_UPDATED" ] || return 0
  say "reading the package lists"
  apt_get update || say "apt-get update failed; going on with the lists that are here"
  APT_UPDATED=1
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

makes_venvs() { new_enough "$1" && "$1" -c 'import venv, ensurepip' 2>/dev/null; }

PYTHONS='python3|python3.14|python3.13|python3.12|python3.11'

# Prints the newest interpreter from 3.11 to 3.14 that can make environments: of those on PATH and those of pyenv.
newest_python() {
  local minor python
  for minor in 14 13 12 11; do
    for python in "python3.$minor" python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python3; do
      if "$python" -c "import sys; sys.exit(sys.version_info[:2] != (3, $minor))" 2>/dev/null &&
        makes_venvs "$python"; then
        printf '%s\n' "$python"
        return 0
      fi
    done
  done
  return 1
}

# Sets BASE to an interpreter that can make environments: the first of PYTHONS, installed where there is none.
find_python() {
  if ! BASE="$(first_of makes_venvs "$PYTHONS")"; then
    # Debian takes `ensurepip` out of Python and ships it as a package of its own
    if BASE="$(first_of new_enough "$PYTHONS")"; then
      BASE="$("$BASE" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
      install_debs "virtual environments" "$BASE|python3-venv"
    else
      install_debs "Python" python3 python3-venv
    fi
    BASE="$(first_of makes_venvs "$PYTHONS")" ||
      die "no Python of 3.11 or newer that can make a virtual environment; install one (Ubuntu 22.04: apt-get install" \
        "python3.11 python3.11-venv)"
  fi
}

# make_venv FOLDER [PYTHON]: a virtual environment, made with the interpreter of `find_python` where none is named.
make_venv() {
  local venv="$1" BASE="${2:-}"
  if [ -x "$venv/bin/python" ] && new_enough "$venv/bin/python"; then
    "$venv/bin/python" -c 'import pip' 2>/dev/null || "$venv/bin/python" -m ensurepip >&2 ||
      die "$venv has no pip and cannot get one"
    return 0
  fi
  [ -n "$BASE" ] || find_python
  say "making $venv with $("$BASE" --version) from $(command -v "$BASE")"
  "$BASE" -m venv --clear "$venv" || die "$BASE could not make a virtual environment at $venv"
}

# pip_install FOLDER ARGUMENT...: pip in that environment. What it complains of is shown, what it does is not.
pip_install() {
  local venv="$1"
  shift
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" </dev/null >&2 ||
    die "pip could not install what was asked for ($*); its own words are above"
}

# up_to_date STAMP WHAT...: whether nothing that decides the outcome has changed since `stamp` was called.
up_to_date() { [ -f "$1" ] && [ "$(cat "$1")" = "$(environment_key "$@")" ]; }

stamp() { environment_key "$@" >"$1"; }

# the path is part of the key: an editable install of a folder that was moved points nowhere
environment_key() {
  local stamp="$1"
  shift
  { cat "$ROOT"/pyproject.toml "$LOCKS"/*.txt; "$(dirname "$stamp")/bin/python" --version; printf '%s\n' "$ROOT" "$@"; } |
    sha256sum | cut -d' ' -f1
}

# Prints the lock of the ONNX Runtime for this machine: `gpu` where it has an NVIDIA device, else `cpu`, which takes a
# fifth of the room. `streamclf doctor` looks at the same places.
runtime_lock() {
  local place
  for place in /dev/nvidiactl /proc/driver/nvidia/version /dev/dxg; do
    if [ -e "$place" ]; then
      printf 'gpu\n'
      return 0
    fi
  done
  printf 'cpu\n'
}

# without_other_runtime FOLDER LOCK: takes both builds out where the other one is there, for they share a folder.
without_other_runtime() {
  local other=onnxruntime
  [ "$2" = gpu ] || other=onnxruntime-gpu
  if "$1/bin/python" -c "import importlib.metadata as m; m.version('$other')" 2>/dev/null; then
    say "taking $other out of $1, for this machine gets the build for $2"
    "$1/bin/python" -m pip uninstall --quiet --disable-pip-version-check --yes onnxruntime onnxruntime-gpu </dev/null >&2
  fi
}

# install_locked FOLDER LOCK: this checkout, editable, and what LOCK.txt of $LOCKS names, each with its hash checked.
install_locked() {
  local venv="$1" lock="$2" runtime
  runtime="$(runtime_lock)"
  up_to_date "$venv/.streamclf" "$lock" "$runtime" && return 0
  say "installing streamclf and what ${LOCKS#"$ROOT"/}/$lock.txt names into $venv (the first time takes a few minutes)"
  pip_install "$venv" --require-hashes --no-deps -r "$LOCKS/build.txt"
  without_other_runtime "$venv" "$runtime"
  pip_install "$venv" --require-hashes --no-deps --no-build-isolation -r "$LOCKS/$lock.txt" \
    -r "$LOCKS/$runtime.txt"
  pip_install "$venv" --no-deps --no-build-isolation --editable "$ROOT"
  stamp "$venv/.streamclf" "$lock" "$runtime"
}

# install_latest FOLDER EXTRAS REQUIREMENT...: the same without a lock: whatever the package index serves today.
install_latest() {
  local venv="$1" extras="$2"
  shift 2
  say "installing streamclf[$extras] without the lock into $venv"
  pip_install "$venv" --upgrade --editable "$ROOT[$extras]" "$@"
}

TORCH='torch==2.13.0'

# install_torch FOLDER: the build for CPUs, where pip is offered one. A build for CUDA brings gigabytes of packages that
# nothing here needs, so it is refused before any of it is fetched.
install_torch() {
  local venv="$1" plan
  "$venv/bin/python" -c "import importlib.metadata as m, sys; sys.exit(m.version('torch').split('+')[0] != '${TORCH#*==}')" \
    2>/dev/null && return 0
  plan="$("$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --dry-run --report - "$TORCH" \
    </dev/null)" || die "pip finds no $TORCH; its own words are above"
  if grep -qE '"name": "(nvidia|cuda)[-_]' <<<"$plan"; then
    die "pip is offered $TORCH only as a build for CUDA, of several gigabytes; name a place of builds for CPU by" \
      "PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS, or install one into $venv yourself (tools/test unit needs none)"
  fi
  say "installing $TORCH"
  pip_install "$venv" --no-deps "$TORCH"
}
