#!/usr/bin/env bash
# Starts, stops and shows three placement centers on this machine, one cluster.
# Usage: bin/cluster.sh start|stop|status [N]    N: one node, by the number in its file name; without it, 1 to 3
# DATA_DIR (default: data) and LOG_DIR (default: logs) receive a folder for each node, RUN_DIR (default:
# run) its pid file and what it prints. CONF_DIR names other files node1.toml to node3.toml, BIN and CTL
# other binaries.
set -euo pipefail
caller=$PWD
cd "$(dirname "$0")/.."

nodes=(1 2 3)
target=${CARGO_TARGET_DIR:-target}/release
export BIN=${BIN:-$target/placement-center}
ctl=${CTL:-$target/placement-ctl}

# A path of the caller stays what the caller meant, although this script works elsewhere.
from_caller() {
    case $1 in
        /*) echo "$1" ;;
        *) echo "$caller/$1" ;;
    esac
}
conf_dir=config/cluster
[[ -n ${CONF_DIR:-} ]] && conf_dir=$(from_caller "$CONF_DIR")
run_dir=run
[[ -n ${RUN_DIR:-} ]] && run_dir=$(from_caller "$RUN_DIR")

usage() {
    sed -n 's/^# Usage: /usage: /p' "$0" >&2
    exit 2
}

# The value of a key outside of all sections of a node's file.
setting() {
    sed -n -e '/^\[/q' -e "s/^$2 *= *\"\{0,1\}\([^\"#]*[^\"# ]\).*/\1/p" "$conf_dir/node$1.toml"
}

addresses() {
    local port=$1 list=() node addr
    for node in "${nodes[@]}"; do
        addr=$(setting "$node" addr)
        list+=("${addr:-127.0.0.1}:$(setting "$node" "$port")")
    done
    local IFS=,
    echo "${list[*]}"
}

start_node() {
    local flags=(--conf "$conf_dir/node$1.toml")
    [[ -n ${DATA_DIR:-} ]] && flags+=(--data-path "$(from_caller "$DATA_DIR")/node$1")
    [[ -n ${LOG_DIR:-} ]] && flags+=(--log-path "$(from_caller "$LOG_DIR")/node$1")
    RUN_DIR=$run_dir/node$1 bin/start.sh "${flags[@]}"
}

# The nodes start side by side: none serves before a majority of them runs.
start() {
    local node jobs=() failed=0
    for node in "$@"; do
        (start_node "$node" 2>&1 | sed "s/^/node $node: /") &
        jobs+=("$!")
    done
    for job in "${jobs[@]}"; do
        wait "$job" || failed=1
    done
    if [[ $failed -ne 0 ]]; then
        echo "cluster.sh: not every node serves; bin/cluster.sh stop ends those that run" >&2
        exit 1
    fi
    [[ $# -eq ${#nodes[@]} ]] || return 0
    cat <<END
The cluster serves. Clients: $(addresses grpc_port)
  etcdctl --endpoints=$(addresses grpc_port) endpoint status --write-out=table
  placement-ctl --endpoint $(addresses grpc_port) member list
Stop it with: make cluster-stop    (or bin/cluster.sh stop)
END
}

stop() {
    local node jobs=() failed=0
    for node in "$@"; do
        (RUN_DIR=$run_dir/node$node bin/stop.sh 2>&1 | sed "s/^/node $node: /") &
        jobs+=("$!")
    done
    for job in "${jobs[@]}"; do
        wait "$job" || failed=1
    done
    return "$failed"
}

# Whether each node runs, then what the cluster says of itself.
status() {
    local node pid running=0
    for node in "$@"; do
        pid=$(cat "$run_dir/node$node/placement-center.pid" 2>/dev/null || true)
        if [[ -n $pid && $(cat "/proc/$pid/comm" 2>/dev/null) == placement-cent* ]]; then
            echo "node $node: runs, pid $pid"
            running=1
        else
            echo "node $node: does not run"
        fi
    done
    [[ $running -eq 1 ]] || return 1
    "$ctl" --endpoint "$(addresses grpc_port)" --http-endpoint "$(addresses http_port)" status --all
}

[[ $# -ge 1 && $# -le 2 ]] || usage
if [[ $# -eq 2 ]]; then
    [[ $2 =~ ^[0-9]+$ && -f $conf_dir/node$2.toml ]] || usage
    chosen=("$2")
else
    chosen=("${nodes[@]}")
fi
case $1 in
    start | stop | status) "$1" "${chosen[@]}" ;;
    *) usage ;;
esac
