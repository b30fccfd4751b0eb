#!/usr/bin/env bash
# Installs the MongoDB servers of the tests under ${TOOLS:-~/.cache/aowhisk-tools}; skips what is there.
# usage: install-mongo.sh [fake] [nx]     (default: both)
#   fake  mongo-java-server, in memory: closest to the real one; needs Java and Maven. Where they are
#         missing it says so and leaves it at that; in CI (the variable CI is set) it fails.
#   nx    nx-27017, on disk: for kill -9; needs Python only
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
TOOLS=${TOOLS:-$HOME/.cache/aowhisk-tools}
fake() {
  [ ! -f "$TOOLS/mongo-fake/classes/MongoSrv.class" ] || return 0
  if ! command -v mvn >/dev/null || ! command -v javac >/dev/null; then
    echo "mongo-java-server, the MongoDB of the tests, needs Java and Maven (mvn, javac)" >&2
    [ -z "${CI:-}" ] || return 1
    echo "the tests of MongoDB will be skipped" >&2
    return 0
  fi
  mkdir -p "$TOOLS/mongo-fake"
  mvn -q -B -f "$here/mongo-fake/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$TOOLS/mongo-fake/lib"
  javac -cp "$TOOLS/mongo-fake/lib/*" -d "$TOOLS/mongo-fake/classes" "$here/mongo-fake/MongoSrv.java"
}
nx() {
  [ ! -x "$TOOLS/nx/bin/nx-27017" ] || return 0
  python3 -m venv "$TOOLS/nx"
  "$TOOLS/nx/bin/pip" install -q nx-27017==0.8.1 neosqlite==1.17.2
}
[ $# -gt 0 ] || set -- fake nx
for what in "$@"; do
  case $what in fake | nx) "$what" ;; *) echo "unknown: $what" >&2; exit 2 ;; esac
done
