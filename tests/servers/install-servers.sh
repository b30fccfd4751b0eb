#!/usr/bin/env bash
# Installs servers of the tests under ${TOOLS:-~/.cache/aowhisk-tools}; skips what is there.
# usage: install-servers.sh [s3] [mongo] [clients] [cluster]     (default: all but cluster)
#   s3  versitygw, built by Go in a minute or two. Where Go is missing it says so and leaves it at
#       that, for the tests then take moto's server; in CI (the variable CI is set) it fails.
#   mongo  see install-mongo.sh
#   clients  see install-clients.sh
#   cluster  kind and helm, built by Go in two or three minutes: two tests of kind/ ask them
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
TOOLS=${TOOLS:-$HOME/.cache/aowhisk-tools}
VGW=v1.8.0
s3() {
  [ ! -x "$TOOLS/bin/versitygw-$VGW" ] || return 0
  if ! command -v go >/dev/null; then
    echo "versitygw, the S3 server of the tests, needs Go (https://go.dev/dl), which is not on PATH" >&2
    [ -z "${CI:-}" ] || return 1
    echo "the tests of S3 will use moto's server, which checks no signatures" >&2
    return 0
  fi
  mkdir -p "$TOOLS/bin"
  GOBIN="$TOOLS/bin" GOFLAGS=-buildvcs=false go install -p 2 -trimpath -ldflags '-s -w' \
    github.com/versity/versitygw/cmd/versitygw@$VGW
  mv "$TOOLS/bin/versitygw" "$TOOLS/bin/versitygw-$VGW"
}
cluster() {
  local module
  mkdir -p "$TOOLS/bin"
  for module in sigs.k8s.io/kind@v0.29.0 helm.sh/helm/v3/cmd/helm@v3.18.6; do
    set -- "${module%@*}"
    [ -x "$TOOLS/bin/${1##*/}" ] ||
      GOBIN="$TOOLS/bin" GOFLAGS=-buildvcs=false go install -p 2 -trimpath -ldflags '-s -w' "$module"
  done
}
[ $# -gt 0 ] || set -- s3 mongo clients
for what in "$@"; do
  case $what in
    s3) s3 ;;
    mongo) "$here/install-mongo.sh" ;;
    clients) "$here/install-clients.sh" ;;
    cluster) cluster ;;
    *) echo "unknown: $what (there are: s3, mongo, clients, cluster)" >&2; exit 2 ;;
  esac
done
