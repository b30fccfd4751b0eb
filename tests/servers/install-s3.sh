#!/usr/bin/env bash
# Installs versitygw, the S3 server of the tests, under ${TOOLS:-~/.cache/aowhisk-tools}; needs Go.
# Does nothing if it is there already.
set -euo pipefail
TOOLS=${TOOLS:-$HOME/.cache/aowhisk-tools}
VGW=v1.8.0
[ ! -x "$TOOLS/bin/versitygw-$VGW" ] || exit 0
mkdir -p "$TOOLS/bin"
GOBIN="$TOOLS/bin" GOFLAGS=-buildvcs=false go install -p 2 -trimpath -ldflags '-s -w' \
  github.com/versity/versitygw/cmd/versitygw@$VGW
mv "$TOOLS/bin/versitygw" "$TOOLS/bin/versitygw-$VGW"
