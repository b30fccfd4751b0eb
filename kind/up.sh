#!/usr/bin/env bash
# Makes a Kubernetes cluster in Docker with OpenWhisk, MongoDB and an S3 server in it, and a profile for aowhisk.
# usage: up.sh [--dry-run]     again: goes on where it was, changes nothing that is as it should be
# --dry-run prints every command and writes the files, and needs only openssl.
set -euo pipefail
[ "${1:-}" != --dry-run ] || DRY=1
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
PYTHON=${PYTHON:-$root/.venv/bin/python} # has aowhisk; or the command in AOWHISK is taken
MEMORY=8 # GB that Docker should have
RELEASE=owdev

check_machine() {
  say "check this machine"
  case $(uname -s) in
    Linux | Darwin) ;;
    *) fail "this works on Linux and macOS, not on $(uname -s)" "on Windows use WSL 2" ;;
  esac
  case ${AOWHISK_CLUSTER_ARCH:-$(uname -m)} in
    x86_64 | amd64) ;;
    *)
      [ -n "${AOWHISK_CLUSTER_EMULATE:-}" ] || fail "OpenWhisk's images are for amd64, and this machine is $(uname -m)" \
        "use \`aowhisk serve\` here, or a cluster elsewhere; AOWHISK_CLUSTER_EMULATE=1 tries it with Docker's emulation, slow and untested"
      note "OpenWhisk's images are for amd64: Docker emulates, slowly"
      ;;
  esac
  command -v openssl >/dev/null || fail "openssl is not installed" "apt-get install openssl, or brew install openssl"
  [ -n "$DRY" ] || command -v curl >/dev/null || fail "curl is not installed" "apt-get install curl, or brew install curl"
  [ -n "$DRY" ] || [ -n "${AOWHISK:-}" ] || "$PYTHON" -c 'import aowhisk' 2>/dev/null ||
    fail "aowhisk is not installed for $PYTHON, and its doctor is the last step" "\`make cluster\` sees to it; or name a Python that has it: PYTHON=..."
  need docker "" "$(version_of docker version --format '{{.Client.Version}}')" "https://docs.docker.com/engine/install/"
  need kind "$KIND_AT_LEAST" "$(version_of kind version -q)" "https://kind.sigs.k8s.io/docs/user/quick-start/#installation"
  need kubectl "$KUBECTL_AT_LEAST" "$(version_of kubectl version --client -o yaml | sed -n 's/.*gitVersion: //p')" "https://kubernetes.io/docs/tasks/tools/"
  need helm "$HELM_AT_LEAST" "$(version_of helm version --template '{{.Version}}')" "https://helm.sh/docs/intro/install/"
  [ -n "$DRY" ] || check_docker
}

version_of() { command -v "$1" >/dev/null && "$@" 2>/dev/null || true; }

check_docker() {
  local bytes inotify
  docker info >/dev/null 2>&1 || fail "no Docker engine answers" "start it: systemctl start docker, or Docker Desktop"
  bytes=$(docker info --format '{{.MemTotal}}')
  [ "$bytes" -ge $((MEMORY * 900000000)) ] ||
    note "Docker has $((bytes / 1000000000)) GB of memory; $MEMORY are wanted, or pods stay Pending (Docker Desktop: Settings, Resources)"
  inotify=$(cat /proc/sys/fs/inotify/max_user_instances 2>/dev/null || echo 512)
  [ "$inotify" -ge 256 ] ||
    note "fs.inotify.max_user_instances is $inotify: pods may fail with 'too many open files' (sysctl -w fs.inotify.max_user_instances=512)"
  if [ -r /proc/cpuinfo ] && ! grep -qw -e avx -e asimd /proc/cpuinfo; then
    fail "this processor has no AVX, and MongoDB 5 and newer need it" "use another machine, or a MongoDB of your own in AOWHISK_JOURNAL"
  fi
}

secret() { # secret NAME BYTES: made once, kept in STATE, without a line's end
  [ -s "$STATE/$1" ] || openssl rand -hex "$2" | tr -d '\n' >"$STATE/$1"
  cat "$STATE/$1"
}

api_key() { # api_key NAME: what OpenWhisk takes for one, a UUID and 64 characters
  local uuid
  uuid=$(secret "$1-uuid" 16 | sed 's/\(.\{8\}\)\(.\{4\}\)\(.\{4\}\)\(.\{4\}\)/\1-\2-\3-\4-/')
  printf '%s:%s' "$uuid" "$(secret "$1-key" 32)"
}

write() { # write FILE: standard input, whole or not at all; says so where it changed
  cat >"$STATE/$1.part"
  if [ -f "$STATE/$1" ] && cmp -s "$STATE/$1" "$STATE/$1.part"; then
    rm "$STATE/$1.part"
  else
    mv "$STATE/$1.part" "$STATE/$1"
    note "wrote $STATE/$1"
  fi
}

generate() {
  local key access password guest
  say "generate keys, passwords and a certificate in $STATE"
  umask 077
  mkdir -p "$STATE"
  guest=$(api_key guest)
  key=$(secret s3-secret 24)
  access=aowhisk
  printf %s "$access" >"$STATE/mongodb-username"
  password=$(secret mongodb-password 24)
  write secrets.yaml <<END
whisk:
  auth:
    guest: "$guest"
    system: "$(api_key system)"
db:
  auth:
    username: whisk_admin
    password: "$(secret couchdb-password 24)"
END
  write s3.json <<END
{"identities": [{"name": "$access", "credentials": [{"accessKey": "$access", "secretKey": "$key"}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
END
  write certificate.cnf <<'END'
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = localhost
O = aowhisk kind cluster
[extensions]
subjectAltName = DNS:localhost, IP:127.0.0.1
basicConstraints = critical, CA:true
END
  if [ ! -s "$STATE/tls.crt" ] || ! openssl x509 -checkend 86400 -noout -in "$STATE/tls.crt" >/dev/null; then
    openssl req -x509 -newkey rsa:2048 -nodes -days 365 -config "$STATE/certificate.cnf" \
      -keyout "$STATE/tls.key" -out "$STATE/tls.crt" 2>/dev/null
    note "wrote $STATE/tls.crt"
  fi
  write profile <<END
# aowhisk and wsk read this: export WSK_CONFIG_FILE=$STATE/profile
APIHOST=https://localhost:31001
AUTH=$guest
AOWHISK_CA_BUNDLE=$STATE/tls.crt
AOWHISK_STORE=s3+http://$access:$key@localhost:31002
AOWHISK_JOURNAL=mongodb://$access:$password@localhost:31003/aowhisk?authSource=admin
# the same store as actions reach it
AOWHISK_ACTION_STORE=s3+http://$access:$key@seaweedfs.aowhisk.svc.cluster.local:8333
END
}

make_cluster() {
  say "the cluster $CLUSTER"
  if cluster_exists; then
    [ -f "$STATE/made" ] || fail "the cluster $CLUSTER is there, but not the keys it was made with ($STATE)" \
      "kind/down.sh deletes it; then start again"
    run kind export kubeconfig --name "$CLUSTER" --kubeconfig "$KUBECONFIG"
  else
    run kind create cluster --name "$CLUSTER" --config "$here/cluster.yaml" --image "$NODE_IMAGE" --kubeconfig "$KUBECONFIG" --wait 5m ||
      fail "kind could not make the cluster" "if a port is taken, free 31001, 31002 and 31003; \`kind export logs --name $CLUSTER\` has the rest"
    [ -n "$DRY" ] || touch "$STATE/made"
  fi
  wait_for "nodes" 180 kube-system kubectl wait --for=condition=Ready node --all --timeout=5s
}

load_images() { # what `make images` built; and the runtime, so that no first call waits for its download
  local image node
  say "images on the nodes"
  if [ -z "$DRY" ]; then
    for image in $(docker image ls --format '{{.Repository}}:{{.Tag}}' 'aowhisk/*' | grep -v '<none>' || true); do
      run kind load docker-image "$image" --name "$CLUSTER"
    done
  fi
  for node in "$CLUSTER-worker" "$CLUSTER-worker2"; do
    run docker exec "$node" crictl pull docker.io/openwhisk/action-python-v3.11:nightly ||
      note "the Python runtime could not be pulled: the first calls of actions will wait for it"
  done
}

apply_secret() { # apply_secret NAMESPACE KIND NAME ARGUMENTS...: made, or brought up to date
  local namespace=$1
  shift
  if [ -n "$DRY" ]; then
    run kubectl --namespace "$namespace" create secret "$@" --dry-run=client --output yaml "|" kubectl apply --filename -
  else
    kubectl --namespace "$namespace" create secret "$@" --dry-run=client --output yaml | kubectl apply --filename - >/dev/null
  fi
}

apply_namespace() {
  if [ -n "$DRY" ]; then
    run kubectl create namespace "$1" --dry-run=client --output yaml "|" kubectl apply --filename -
  else
    kubectl create namespace "$1" --dry-run=client --output yaml | kubectl apply --filename - >/dev/null
  fi
}

install_services() {
  say "MongoDB and SeaweedFS"
  apply_namespace aowhisk
  apply_secret aowhisk generic mongodb --from-file="username=$STATE/mongodb-username" --from-file="password=$STATE/mongodb-password"
  apply_secret aowhisk generic seaweedfs --from-file="s3.json=$STATE/s3.json"
  run kubectl apply --filename "$here/services/mongodb.yaml" --filename "$here/services/seaweedfs.yaml"
  wait_for "MongoDB" 600 aowhisk kubectl --namespace aowhisk rollout status statefulset/mongodb --timeout=5s
  wait_for "SeaweedFS" 600 aowhisk kubectl --namespace aowhisk rollout status statefulset/seaweedfs --timeout=5s
}

install_openwhisk() {
  local chart=$STATE/chart/openwhisk-$CHART_VERSION/openwhisk stamp
  say "OpenWhisk"
  if [ -n "$DRY" ] || [ ! -f "$chart/Chart.yaml" ]; then
    run rm -rf "${chart%/*}" # helm unpacks into no folder that is there
    run helm pull openwhisk --repo "$CHART_REPOSITORY" --version "$CHART_VERSION" --untar --untardir "${chart%/*}"
  fi
  run cp "$here/runtimes.json" "$chart/runtimes.json" # the chart reads it from its own folder only
  apply_namespace openwhisk
  # the chart's job gen-certs leaves a certificate alone that is there
  apply_secret openwhisk tls "$RELEASE-nginx" --cert="$STATE/tls.crt" --key="$STATE/tls.key"
  stamp=$(cat "$here/openwhisk.yaml" "$here/runtimes.json" "$STATE/secrets.yaml" | openssl dgst -sha256 -r | cut -d' ' -f1)
  if [ -z "$DRY" ] && [ "$(cat "$STATE/openwhisk.stamp" 2>/dev/null)" = "$stamp" ] &&
    helm --namespace openwhisk status "$RELEASE" 2>/dev/null | grep -q '^STATUS: deployed'; then
    note "installed already, with these values"
  else
    run helm upgrade "$RELEASE" "$chart" --install --namespace openwhisk --values "$here/openwhisk.yaml" --values "$STATE/secrets.yaml"
    [ -n "$DRY" ] || printf '%s\n' "$stamp" >"$STATE/openwhisk.stamp"
  fi
  wait_for "CouchDB's set-up" 900 openwhisk kubectl --namespace openwhisk wait --for=condition=complete "job/$RELEASE-init-couchdb" --timeout=5s
  wait_for "the controller" 900 openwhisk kubectl --namespace openwhisk rollout status "statefulset/$RELEASE-controller" --timeout=5s
  wait_for "an invoker" 900 openwhisk kubectl --namespace openwhisk rollout status "statefulset/$RELEASE-invoker" --timeout=5s
  wait_for "the API on port 31001" 300 openwhisk curl --silent --show-error --fail --cacert "$STATE/tls.crt" --noproxy localhost --output /dev/null https://localhost:31001/api/v1
  wait_for "OpenWhisk's own packages" 900 openwhisk kubectl --namespace openwhisk wait --for=condition=complete "job/$RELEASE-install-packages" --timeout=5s
}

wait_for() { # wait_for WHAT SECONDS NAMESPACE COMMAND...: until it succeeds; says what is wrong where it does not
  local what=$1 limit=${AOWHISK_CLUSTER_PATIENCE:-$2} namespace=$3 told=$SECONDS end
  end=$((SECONDS + limit))
  shift 3
  note "wait for $what, $limit s at most"
  if [ -n "$DRY" ]; then
    run "$@"
    return
  fi
  until "$@" >"$STATE/wait.log" 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then
      explain "$namespace" >&2
      fail "$what was not ready within $limit s: $(tail -1 "$STATE/wait.log")" \
        "see above; \`KUBECONFIG=$KUBECONFIG kubectl -n $namespace get pods\` looks again, and up.sh goes on from here"
    fi
    if [ $((SECONDS - told)) -ge 60 ]; then
      told=$SECONDS
      note "still waiting for $what: $(trouble "$namespace" | head -1)"
    fi
    sleep 2
  done
}

trouble() { # trouble NAMESPACE: the pods that are not ready, each with its reason
  kubectl --namespace "$1" get pods --no-headers 2>/dev/null |
    awk '{ split($2, of, "/"); if ($3 != "Completed" && ($3 != "Running" || of[1] != of[2])) print $1 ": " $3 " (" $4 " restarts)" }'
}

explain() { # explain NAMESPACE: what Kubernetes knows of its trouble, and what usually helps
  local namespace=$1 pods pod
  pods=$(trouble "$namespace")
  printf '\n-- pods that are not ready\n%s\n' "${pods:-none}"
  printf -- '-- the last events\n'
  kubectl --namespace "$namespace" get events --sort-by=.lastTimestamp 2>/dev/null | grep -v Normal | tail -8 || true
  pod=$(printf '%s' "$pods" | head -1 | cut -d: -f1)
  if [ -n "$pod" ]; then
    printf -- '-- the log of %s\n' "$pod"
    kubectl --namespace "$namespace" logs "$pod" --all-containers --tail=15 2>&1 || true
  fi
  case $pods in
    *ImagePull* | *ErrImage*) printf -- '-- an image cannot be pulled: is Docker Hub reachable, and not refusing (docker login)?\n' ;;
    *Pending*) printf -- '-- a pod finds no room: give Docker more memory (%s GB) or processors\n' "$MEMORY" ;;
    *CrashLoop* | *Error* | *OOMKilled*) printf -- '-- a container ends by itself: its log, above, says why; OOMKilled means more memory\n' ;;
    *Init:* | *ContainerCreating*) printf -- '-- a pod waits for another one: CouchDB comes first, then Kafka, the controller, an invoker\n' ;;
  esac
}

finish() {
  say "settings"
  note "export WSK_CONFIG_FILE=$(printf %q "$STATE/profile")    # for aowhisk and wsk"
  note "export KUBECONFIG=$(printf %q "$KUBECONFIG")            # for kubectl and helm"
  say "aowhisk doctor"
  if [ -n "${AOWHISK:-}" ]; then
    # shellcheck disable=SC2086  # a command and its arguments
    run $AOWHISK doctor --invoke --profile "$STATE/profile"
  else
    run "$PYTHON" -m aowhisk doctor --invoke --profile "$STATE/profile"
  fi
}

check_machine
generate
make_cluster
load_images
install_services
install_openwhisk
finish
