# shellcheck shell=bash
# Sourced by with-s3.sh: free port, wait until ready, stop by pid.
TOOLS=${TOOLS:-$HOME/.cache/aowhisk-tools}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
stop_pid() { # TERM, up to 5 s, then KILL
  local pid=$1 i
  kill "$pid" 2>/dev/null || return 0
  for ((i = 0; i < 50; i++)); do kill -0 "$pid" 2>/dev/null || { wait "$pid" 2>/dev/null || true; return 0; }; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}
wait_for() { # wait_for PID SECONDS CMD...: 0 once CMD succeeds, 1 if PID died or time ran out
  local pid=$1 end=$((SECONDS + $2)); shift 2
  until "$@" >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || return 1
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.05
  done
}
