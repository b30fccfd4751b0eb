# shellcheck shell=bash disable=SC2034
# What `make cluster` installs. Each version is one that a public repository names; the comment says which.

# sigs.k8s.io/kind v0.29.0, pkg/apis/config/defaults/image.go: the node image of that release
NODE_IMAGE=kindest/node:v1.33.1@sha256:050072256b9a903bd914c0b2866828150cb229cea0efe5892e2b644d5dd3b34f
KIND_AT_LEAST=0.29.0
HELM_AT_LEAST=3.8.0
KUBECTL_AT_LEAST=1.30.0

# apache/openwhisk-deploy-kube, helm/openwhisk/Chart.yaml; the address is that of its README.md
CHART_REPOSITORY=${AOWHISK_CHART_REPOSITORY:-https://openwhisk.apache.org/charts}
CHART_VERSION=1.0.1
