#!/usr/bin/env bash
# Builds the images of the examples, or of those that are named.
# usage: build.sh [EXAMPLE...]           needs docker
#        build.sh --stage EXAMPLE DIR    only puts what docker would be given into DIR
# PYTHON builds the wheel (hatchling); RUNTIME is the base, PREFIX stands before the names, PLATFORM is docker's.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
PYTHON=${PYTHON:-$root/.venv/bin/python}
RUNTIME=${RUNTIME:-openwhisk/action-python-v3.11:nightly}
PREFIX=${PREFIX:-aowhisk}
PLATFORM=${PLATFORM:-linux/amd64} # OpenWhisk's runtimes are published for no other

say() { printf 'images: %s\n' "$*"; }
fail() {
  printf 'images: %s\n' "$*" >&2
  exit 1
}

stage() { # stage EXAMPLE DIR: Dockerfile, requirements and the wheel
  local example=$root/examples/$1 to=$2
  [ -f "$example/Dockerfile" ] || fail "examples/$1 has no Dockerfile"
  mkdir -p "$to/wheels"
  cp "$example/Dockerfile" "$example/requirements-image.txt" "$to/"
  (cd "$root/packaging/object-store" && "$PYTHON" -m hatchling build -t wheel -d "$to/wheels" >/dev/null)
}

build() { # build EXAMPLE VERSION
  local name=$PREFIX/$1:$2 dir
  dir=$(mktemp -d)
  # shellcheck disable=SC2064  # dir as it is now
  trap "rm -rf '$dir'" RETURN
  stage "$1" "$dir"
  docker build --quiet --platform "$PLATFORM" --build-arg "RUNTIME=$RUNTIME" --tag "$name" "$dir" >/dev/null
  say "$name: $(($(docker image inspect --format '{{.Size}}' "$name") / 1000000)) MB on disk"
}

if [ "${1:-}" = --stage ]; then
  [ $# -eq 3 ] || fail "usage: build.sh --stage EXAMPLE DIR"
  stage "$2" "$(mkdir -p "$3" && cd "$3" && pwd)"
  exit
fi
command -v docker >/dev/null || fail "docker is not installed; see https://docs.docker.com/engine/install/"
docker info >/dev/null 2>&1 || fail "docker is installed, but no engine answers; start it (systemctl start docker, or Docker Desktop)"
version=$(cd "$root" && PYTHONPATH=src "$PYTHON" -c 'from object_store.version import __version__; print(__version__)')
docker pull --quiet --platform "$PLATFORM" "$RUNTIME" >/dev/null
say "base: $(docker image inspect --format '{{index .RepoDigests 0}}' "$RUNTIME") (RUNTIME= fixes it)"
# shellcheck disable=SC2046  # names of folders, without blanks
[ $# -gt 0 ] || set -- $(cd "$root/examples" && printf '%s\n' */Dockerfile | sed 's,/Dockerfile,,')
for example; do build "$example" "$version"; done
