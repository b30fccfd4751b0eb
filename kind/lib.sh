# shellcheck shell=bash
# Sourced by up.sh and down.sh; works with the bash 3.2 of macOS. DRY=1 prints commands instead of running them.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034  # for up.sh
root=$(cd "$here/.." && pwd)
# shellcheck source=versions.sh
. "$here/versions.sh"
CLUSTER=${AOWHISK_CLUSTER:-aowhisk}
STATE=${AOWHISK_CLUSTER_STATE:-$here/.state} # everything that is generated, readable by its owner only
case $STATE in
  /*) ;;
  *) STATE=$PWD/$STATE ;;
esac
DRY=${DRY:-}
export KUBECONFIG=$STATE/kubeconfig # never the user's own

say() { printf '== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
fail() { # fail WHAT [WHAT TO DO]
  printf 'cluster: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '         %s\n' "$2" >&2
  exit 1
}

run() { # run COMMAND...: secrets are never arguments, so the command can be shown
  local each
  if [ -n "$DRY" ]; then
    printf '   $'
    for each; do
      [ "$each" = '|' ] && printf ' |' || printf ' %q' "$each"
    done
    printf '\n'
  else
    "$@"
  fi
}

at_least() { # at_least VERSION WANTED: both like 1.2.3, a leading v and a suffix do not count
  local have=${1#v} want=$2 i h w
  have=${have%%[-+]*}
  for i in 1 2 3; do
    h=$(printf '%s' "$have" | cut -d. -f"$i")
    w=$(printf '%s' "$want" | cut -d. -f"$i")
    [ "${h:-0}" -gt "${w:-0}" ] && return 0
    [ "${h:-0}" -lt "${w:-0}" ] && return 1
  done
  return 0
}

need() { # need TOOL WANTED HAVE WHERE: is it there and new enough
  local tool=$1 want=$2 have=$3 where=$4
  if [ -z "$have" ]; then
    [ -n "$DRY" ] || fail "$tool is not installed" "$where"
    note "needs $tool${want:+ $want or newer}: not installed here"
  elif [ -n "$want" ] && ! at_least "$have" "$want"; then
    fail "$tool $have is too old; $want or newer is needed" "$where"
  fi
}

cluster_exists() { [ -z "$DRY" ] && kind get clusters 2>/dev/null | grep -qx "$CLUSTER"; }
