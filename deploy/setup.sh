#!/usr/bin/env bash
# Makes sure that this machine has the server programs that `housecall dev` and
# the tests start: PostgreSQL 15 or later with contrib, and Redis 7 or later.
# With the argument `test` also nginx, for the test of the load balancer's
# configuration; Chromium, for the tests of the chat in a browser; TypeScript,
# which checks the types of its modules; QPDF and Poppler, which check PDFs, and
# fonts for them; Postfix, for the test of what a mail server refuses, unless
# there is another mail server, which it would replace; and an S3 server, built
# once into .housecall/bin.
#
# It starts no service and creates no cluster, and keeps packages from doing so.
set -euo pipefail

readonly MIN_POSTGRES=15 MIN_REDIS=7
for_tests=false
case "${1:-}" in
  '') ;;
  test) for_tests=true ;;
  *) echo "usage: deploy/setup.sh [test]" >&2; exit 2 ;;
esac

# major prints the major version in the output of `$1 --version`, or 0.
major() {
  local out
  out=$("$1" --version 2>/dev/null) || { echo 0; return; }
  if [[ $out =~ (\(PostgreSQL\)\ |v=)([0-9]+) ]]; then
    echo "${BASH_REMATCH[2]}"
  else
    echo 0
  fi
}

# has_postgres looks where internal/devservices looks, and for btree_gist.
has_postgres() {
  local bin share on_path
  on_path=$(command -v postgres || true)
  for bin in ${on_path:+"$(dirname "$(realpath "$on_path")")"} \
    /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin /usr/bin \
    /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
    [[ -x $bin/postgres && -x $bin/initdb ]] || continue
    (($(major "$bin/postgres") >= MIN_POSTGRES)) || continue
    # Debian's layout, then Red Hat's, then what pg_config says.
    for share in "${bin/#\/usr\/lib\//\/usr\/share\/}" /usr/share/pgsql "$bin/../share" \
      "$([[ -x $bin/pg_config ]] && "$bin/pg_config" --sharedir)"; do
      [[ -e ${share%/bin}/extension/btree_gist.control ]] && return 0
    done
  done
  return 1
}

has_redis() {
  local program path
  for program in redis-server valkey-server; do
    for path in "$(command -v "$program" || true)" "/usr/bin/$program" "/usr/local/bin/$program" "/opt/homebrew/bin/$program"; do
      [[ -n $path && -x $path ]] && (($(major "$path") >= MIN_REDIS)) && return 0
    done
  done
  return 1
}

# nginx is in /usr/sbin, which is not on everyone's PATH.
has_nginx() {
  command -v nginx >/dev/null || [[ -x /usr/sbin/nginx || -x /opt/homebrew/bin/nginx || -x /usr/local/bin/nginx ]]
}

# has_chromium looks where internal/app's browser tests look.
has_chromium() {
  local program
  for program in chromium chromium-browser google-chrome google-chrome-stable \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" /Applications/Chromium.app/Contents/MacOS/Chromium; do
    command -v "$program" >/dev/null && return 0
  done
  return 1
}

# has_fonts looks where internal/pdf's tests look: for Han and kana, Devanagari, and Thai.
has_fonts() {
  local name
  for name in 'DroidSansFallback*.ttf' Lohit-Devanagari.ttf 'Loma.*tf'; do
    compgen -G "/usr/share/fonts/*/$name" >/dev/null || compgen -G "/usr/share/fonts/*/*/$name" >/dev/null || return 1
  done
}

# has_mta tells whether there is a mail server, whichever.
has_mta() { command -v sendmail >/dev/null || [[ -e /usr/sbin/sendmail || -e /usr/lib/sendmail ]]; }

missing=()
look() {
  missing=()
  has_postgres || missing+=(postgresql)
  has_redis || missing+=(redis)
  if $for_tests; then
    has_nginx || missing+=(nginx)
    has_chromium || missing+=(chromium)
    command -v qpdf >/dev/null || missing+=(qpdf)
    command -v pdftotext >/dev/null || missing+=(poppler)
    # Homebrew has no packages of them: there, these tests are left out.
    has_fonts || [[ $OSTYPE == darwin* ]] || missing+=(fonts)
    # Red Hat has no package for it: there, the test says what to do.
    command -v tsc >/dev/null || command -v dnf >/dev/null || missing+=(typescript)
    has_mta || missing+=(postfix)
  fi
}

# give_up says what to do by hand, and exits.
give_up() {
  {
    echo "setup: $1"
    echo "setup: housecall needs PostgreSQL >= $MIN_POSTGRES (server and contrib) and Redis >= $MIN_REDIS; missing: ${missing[*]}."
    echo "setup: Either install them yourself, for example"
    case "$manager" in
      apt) echo "         sudo apt-get update && sudo apt-get install --no-install-recommends $(packages)" ;;
      dnf) echo "         sudo dnf install $(packages)" ;;
      brew) echo "         brew install $(packages)" ;;
      *) echo "         with your package manager, so that postgres, initdb and redis-server can be found" ;;
    esac
    echo "       or run everything in containers instead:"
    echo "         docker compose up"
  } >&2
  exit 1
}

# packages prints what to install for what is missing.
packages() {
  local item names=()
  for item in "${missing[@]}"; do
    case "$manager:$item" in
      apt:postgresql) names+=(postgresql) ;; # depends on the newest server, with contrib
      apt:redis) names+=(redis-server) ;;
      apt:typescript) names+=(node-typescript) ;;
      apt:poppler | dnf:poppler) names+=(poppler-utils) ;;
      apt:fonts) names+=(fonts-droid-fallback fonts-lohit-deva fonts-tlwg-loma-ttf) ;;
      dnf:fonts) names+=(google-droid-sans-fonts lohit-devanagari-fonts thai-scalable-loma-fonts) ;;
      dnf:postgresql) names+=(postgresql-server postgresql-contrib) ;;
      dnf:redis) if dnf -q list redis >/dev/null 2>&1; then names+=(redis); else names+=(valkey); fi ;;
      brew:postgresql) names+=(postgresql@17) ;;
      *) names+=("$item") ;;
    esac
  done
  echo "${names[*]}"
}

# as_root runs a command as root, and never asks for a password.
as_root() {
  if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

# Debian's packages create a cluster, start services, and enable them for the
# next boot. During the installation, two files prevent the first two; undo
# restores what was there.
readonly CREATECLUSTER=/etc/postgresql-common/createcluster.d/housecall.conf POLICY=/usr/sbin/policy-rc.d
held=()
hold() { # file mode content
  if as_root test -e "$1"; then as_root mv "$1" "$1.housecall"; fi
  held+=("$1")
  as_root mkdir -p "$(dirname "$1")"
  printf '%b' "$3" | as_root tee "$1" >/dev/null
  as_root chmod "$2" "$1"
}
undo() {
  local file
  for file in ${held[@]+"${held[@]}"}; do
    as_root rm -f "$file"
    if as_root test -e "$file.housecall"; then as_root mv "$file.housecall" "$file"; fi
  done
  held=()
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -y --no-install-recommends -o Dpkg::Options::=--force-confold install "$@" >&2
}

install_apt() {
  local names item units=()
  read -ra names <<<"$(packages)"
  for item in redis-server nginx postgresql postfix; do
    # A service that was installed before is left alone.
    [[ -e /lib/systemd/system/$item.service ]] || units+=("$item")
  done
  trap undo EXIT
  hold "$POLICY" 755 '#!/bin/sh\nexit 101\n'
  # If a repository cannot be reached, the existing lists may be enough.
  as_root apt-get -qq update >&2 || true
  if [[ " ${names[*]} " == *" postgresql "* ]]; then
    # First install the package that reads the file, or the file may be in its way.
    apt_install postgresql-common || return 1
    hold "$CREATECLUSTER" 644 'create_main_cluster = false\n'
  fi
  apt_install "${names[@]}" || return 1
  if command -v systemctl >/dev/null; then
    for item in ${units[@]+"${units[@]}"}; do
      [[ -e /lib/systemd/system/$item.service ]] && as_root systemctl --quiet disable "$item" >&2
    done
  fi
  return 0
}

install_dnf() { # starts no service by itself
  local names
  read -ra names <<<"$(packages)"
  as_root dnf -q -y install "${names[@]}" >&2
}

install_brew() { # neither does brew, and it refuses root
  local names
  read -ra names <<<"$(packages)"
  brew install --quiet "${names[@]}" >&2
}

# The S3 server of the tests is not in go.mod, because it would bring hundreds
# of dependencies. internal/devservices/s3.go has the same version.
readonly S3_VERSION=v1.8.0
build_s3() {
  local bin
  bin=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.housecall/bin
  [[ -x $bin/versitygw-$S3_VERSION ]] && return 0
  command -v "versitygw-$S3_VERSION" >/dev/null && return 0
  echo "setup: building the S3 server for the tests, once; this takes about two minutes ..." >&2
  mkdir -p "$bin"
  # Outside of the work tree, so that go.mod stays unchanged.
  if ! (cd / && GOBIN="$bin/new" CGO_ENABLED=0 go install "github.com/versity/versitygw/cmd/versitygw@$S3_VERSION" >&2); then
    echo "setup: versitygw $S3_VERSION could not be built; without it the S3 store is not tested." >&2
    exit 1
  fi
  mv "$bin/new/versitygw" "$bin/versitygw-$S3_VERSION"
  rmdir "$bin/new"
}
if $for_tests; then
  build_s3
fi

look
((${#missing[@]} > 0)) || exit 0

manager=none
if command -v apt-get >/dev/null; then
  manager=apt
elif command -v dnf >/dev/null; then
  manager=dnf
elif command -v brew >/dev/null; then
  manager=brew
fi

[[ $manager != none ]] || give_up "there is no apt-get, dnf or brew to install with."
if [[ $manager != brew ]] && ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
  give_up "installing needs root, but sudo asks for a password."
fi
echo "setup: installing $(packages) with $manager ..." >&2
"install_$manager" || give_up "the installation failed; its messages are above."
look
((${#missing[@]} == 0)) || give_up "the packages of this system are too old or incomplete."
echo "setup: done" >&2
