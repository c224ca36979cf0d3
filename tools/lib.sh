# shellcheck shell=bash
# What tools/run, tools/test and tools/check share. Sourced, never run; the caller has set `TOOL` (its own name).
# Every step first looks whether its work is done, so that a second run installs nothing and takes about a second.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
PYTHON="$VENV/bin/python"

say() { printf '%s: %s\n' "$TOOL" "$*" >&2; }

die() {
  say "error: $*"
  exit 1
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

make_venv() {
  local base
  if [ -x "$PYTHON" ] && new_enough "$PYTHON"; then
    "$PYTHON" -c 'import pip' 2>/dev/null || "$PYTHON" -m ensurepip >&2 || die "$VENV has no pip and cannot get one"
    return 0
  fi
  if ! base="$(first_of makes_venvs "$PYTHONS")"; then
    # Debian takes `ensurepip` out of Python and ships it as a package of its own
    if base="$(first_of new_enough "$PYTHONS")"; then
      base="$("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
      install_debs "virtual environments" "$base|python3-venv"
    else
      install_debs "Python" python3 python3-venv
    fi
    base="$(first_of makes_venvs "$PYTHONS")" ||
      die "no Python of 3.11 or newer that can make a virtual environment; install one (Ubuntu 22.04: apt-get install" \
        "python3.11 python3.11-venv)"
  fi
  say "making $VENV with $("$base" --version) from $(command -v "$base")"
  "$base" -m venv --clear "$VENV" || die "$base could not make a virtual environment at $VENV"
}

# install_package STAMP EXTRAS REQUIREMENT...: installs this checkout, editable, and what it needs into the virtual
# environment, unless nothing that decides the outcome has changed since STAMP was written.
install_package() {
  local stamp="$VENV/.streamclf-$1" spec="$ROOT${2:+[$2]}" key
  shift 2
  # the path is part of the key: an editable install of a folder that was moved points nowhere
  key="$( { cat "$ROOT/pyproject.toml"; "$PYTHON" --version; printf '%s\n' "$spec" "$@"; } | sha256sum | cut -d' ' -f1)"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ]; then
    return 0
  fi
  say "installing streamclf${*:+ and $*} into $VENV (the first time takes a few minutes)"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-input --editable "$spec" "$@" </dev/null >&2 ||
    die "pip could not install streamclf; its own words are above"
  printf '%s\n' "$key" >"$stamp"
}
