#!/usr/bin/env bash
# Deletes the cluster that up.sh has made, with all data in it, and what was generated for it.
# usage: down.sh [--dry-run]
set -euo pipefail
[ "${1:-}" != --dry-run ] || DRY=1
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

if [ -n "$DRY" ] || command -v kind >/dev/null; then
  say "delete the cluster $CLUSTER"
  run kind delete cluster --name "$CLUSTER"
fi
say "remove $STATE"
case $STATE in
  /?*) run rm -rf "$STATE" ;;
  *) fail "AOWHISK_CLUSTER_STATE is $STATE; it must be an absolute path" ;;
esac
