#!/usr/bin/env bash
# Installs other people's clients of OpenWhisk under ${TOOLS:-~/.cache/aowhisk-tools}; skips what is there.
# usage: install-clients.sh [openwhisk] [lithops]     (default: both)
#   openwhisk  the JavaScript client, from npm. Where Node.js is missing it says so and leaves it at
#       that; in CI (the variable CI is set) it fails.
#   lithops    in a virtual environment of its own; needs Python only
set -euo pipefail
TOOLS=${TOOLS:-$HOME/.cache/aowhisk-tools}
OPENWHISK=3.21.9
LITHOPS=3.8.0
openwhisk() {
  local to=$TOOLS/openwhisk-js-$OPENWHISK
  [ ! -d "$to/node_modules/openwhisk" ] || return 0
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "the JavaScript client needs Node.js (node, npm), which is not on PATH" >&2
    [ -z "${CI:-}" ] || return 1
    echo "its tests will be skipped" >&2
    return 0
  fi
  rm -rf "$to.new"
  mkdir -p "$to.new"
  npm install --silent --no-audit --no-fund --prefix "$to.new" "openwhisk@$OPENWHISK"
  rm -rf "$to"
  mv "$to.new" "$to"
}
lithops() {
  local to=$TOOLS/lithops-$LITHOPS
  [ ! -f "$to/.ready" ] || return 0
  rm -rf "$to"
  python3 -m venv "$to"
  "$to/bin/pip" install -q --disable-pip-version-check "lithops==$LITHOPS"
  touch "$to/.ready"
}
[ $# -gt 0 ] || set -- openwhisk lithops
for what in "$@"; do
  case $what in openwhisk | lithops) "$what" ;; *) echo "unknown: $what (there are: openwhisk, lithops)" >&2; exit 2 ;; esac
done
