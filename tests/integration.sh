#!/usr/bin/env bash
# Starts a server, runs checks against it with curl, placement-ctl and (where installed) etcdctl,
# restarts it in between, stops it and reports how many checks passed.
#
# PLACEMENT_SERVER_BIN and PLACEMENT_CTL_BIN name the programs; by default those of target/release.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
programs=${CARGO_TARGET_DIR:-$here/target}/release
server=${PLACEMENT_SERVER_BIN:-$programs/placement-center}
ctl_program=${PLACEMENT_CTL_BIN:-$programs/placement-ctl}
for program in "$server" "$ctl_program"; do
    [[ -x $program ]] || { echo "integration: $program is missing: run 'make build' first" >&2; exit 1; }
done
command -v curl >/dev/null || { echo "integration: curl is not installed" >&2; exit 1; }

work=$(mktemp -d "${INTEGRATION_SCRATCH:-${TMPDIR:-/tmp}}/integration.XXXXXX")
server_pid=
passed=0
failed=0

cleanup() {
    if [[ -n $server_pid ]] && kill -0 "$server_pid" 2>/dev/null; then
        kill -KILL "$server_pid"
        wait "$server_pid" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT

# start_once: starts the server on random ports below the range that the kernel hands out itself.
start_once() {
    local base=$((20000 + (RANDOM % 5000) * 2))
    grpc=127.0.0.1:$base
    http=http://127.0.0.1:$((base + 1))
    "$server" --data-path "$work/data" --log-path "$work/log" --grpc-port "$base" \
        --http-port $((base + 1)) >>"$work/output" 2>&1 &
    server_pid=$!
    for _ in $(seq 600); do
        curl -fsS -m 2 "$http/readyz" >/dev/null 2>&1 && return 0
        kill -0 "$server_pid" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

start() {
    for _ in 1 2 3 4 5; do
        start_once && return
    done
    echo "integration: the server does not start:" >&2
    cat "$work/output" >&2
    exit 1
}

# stop: asks politely; the exit code is a check of its own.
stop() {
    local code=0
    kill -TERM "$server_pid"
    wait "$server_pid" || code=$?
    server_pid=
    verdict "SIGTERM ends the server with code 0" "0" "$code"
}

# verdict NAME EXPECTED FOUND: counts one check; EXPECTED is a pattern of the shell.
verdict() {
    # shellcheck disable=SC2053 # the pattern is meant as one
    if [[ $3 == $2 ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s\n  expected: %s\n  found:    %s\n' "$1" "$2" "$3"
    fi
}

# route STATUS BODY METHOD PATH [CURL ARGUMENTS...]: status and body of one HTTP request.
route() {
    local status=$1 body=$2 method=$3 path=$4
    shift 4
    local found
    found=$(curl -sS -m 20 -X "$method" -w ' %{http_code}' "$@" "$http$path" 2>&1 || true)
    verdict "$method $path $*" "$body $status" "$found"
}

# ctl CODE OUTPUT ARGUMENTS...: exit code and output of placement-ctl.
ctl() {
    local code=$1 output=$2 found status=0
    shift 2
    found=$("$ctl_program" --endpoint "$grpc" "$@" 2>&1) || status=$?
    verdict "placement-ctl $*" "$code $output" "$status $found"
}

# etcd OUTPUT ARGUMENTS...: output of etcdctl, lines joined by blanks.
etcd() {
    local output=$1 found
    shift
    found=$(ETCDCTL_API=3 etcdctl --endpoints="$grpc" "$@" 2>&1 | tr '\n' ' ' || true)
    verdict "etcdctl $*" "$output" "$found"
}

error='{*"code":"'

operator_routes() {
    route 200 '{"health":"true"*' GET /health
    route 200 'ok*' GET /livez
    route 200 '*serializable_read*' GET '/livez?verbose'
    route 200 'ok*' GET /readyz
    route 200 'ok*' GET /readyz/linearizable_read
    route 404 "$error*" GET /readyz/no_such_check
    route 200 '*"placement_center"*' GET /version
    route 200 '*etcd_server_has_leader 1*' GET /metrics
    route 200 '*"role":"leader"*' GET /v1/status
    route 200 '*"grpc_port":*' GET /v1/config
    route 200 '{"level":*' GET /v1/log-level
    route 200 '{"level":"debug"}' PUT /v1/log-level -H 'content-type: application/json' -d '{"level":"debug"}'
    route 200 '{"level":"debug"}' GET /v1/log-level
    route 200 '{"level":"info"}' PUT /v1/log-level -H 'content-type: application/json' -d '{"level":"info"}'
    route 400 "$error*" PUT /v1/log-level -H 'content-type: application/json' -d '{"level":"loud"}'
    route 400 "$error*" PUT /v1/log-level -H 'content-type: application/json' -d '{"level"'
    route 415 "$error*" PUT /v1/log-level -H 'content-type: text/plain' -d 'debug'
}

keys_over_http() {
    route 404 "$error*" GET /v1/kv/absent
    route 200 '{"revision":*' PUT /v1/kv/color --data-binary blue
    route 200 '*"value":"blue"*' GET /v1/kv/color
    route 200 'blue' GET '/v1/kv/color?raw=1'
    route 200 '*"value":"blue"*' GET '/v1/kv/color?consistency=serializable'
    route 412 "$error*" PUT /v1/kv/color -H 'if-none-match: *' --data-binary red
    route 412 "$error*" PUT /v1/kv/color -H 'if-match: 999' --data-binary red
    route 400 "$error*" PUT /v1/kv/color -H 'if-match: x' --data-binary red
    route 400 "$error*" GET '/v1/kv/color?revision=-1'
    route 400 "$error*" GET '/v1/kv/color?unknown=1'
    route 400 "$error*" GET '/v1/kv/%zz'
    route 200 '{"revision":*' PUT '/v1/kv/a%2Fb%00' --data-binary odd
    route 200 '*"key_base64":"YS9iAA=="*' GET '/v1/kv/a%2Fb%00'
    route 200 '*"key":"color"*' GET '/v1/kv?prefix=col&limit=1'
    route 400 "$error*" GET '/v1/kv?limit=0'
    route 200 '{"revision":*' DELETE /v1/kv/color
    route 404 "$error*" DELETE /v1/kv/color
    route 405 "$error*" POST /v1/kv/color
    route 405 "$error*" DELETE /health
    route 404 "$error*" GET /no/such/route
    head -c 3000000 /dev/zero >"$work/large"
    route 413 "$error*" PUT /v1/kv/large --data-binary "@$work/large"
}

keys_over_ctl() {
    ctl 0 '*' kv put fruit apple
    ctl 0 'apple' kv get fruit
    ctl 0 '*"value": "apple"*' --output json kv get fruit
    ctl 0 '*fruit*' kv list --prefix fr
    ctl 3 '*' kv get absent
    ctl 0 '*' kv del fruit
    ctl 3 '*' kv del fruit
    ctl 2 '*' kv frobnicate
    ctl 0 '*leader*' status
    head -c 2000 /dev/urandom >"$work/bytes"
    "$ctl_program" --endpoint "$grpc" kv put binary - <"$work/bytes" >/dev/null
    "$ctl_program" --endpoint "$grpc" kv get binary >"$work/back"
    verdict "random bytes come back as they went" 0 "$(cmp -s "$work/bytes" "$work/back"; echo $?)"
    local status=0
    "$ctl_program" --endpoint 127.0.0.1:1 status >"$work/refused" 2>&1 || status=$?
    verdict "a refused connection names the endpoint" '1 *127.0.0.1:1*' "$status $(cat "$work/refused")"
}

keys_over_etcdctl() {
    if ! command -v etcdctl >/dev/null; then
        echo "integration: etcdctl is not installed, its checks are skipped"
        return
    fi
    etcd 'OK ' put ship sail
    etcd 'ship sail ' get ship
    etcd 'ship  ' get sh --prefix --keys-only --limit=1
    etcd '1 ' del ship
    etcd '*is healthy*' endpoint health
    etcd "*$grpc*" endpoint status
}

wrong_starts() {
    local status=0
    "$server" --grpc-port 0 >"$work/wrong" 2>&1 || status=$?
    verdict "port 0 is refused with code 2" '2 *grpc_port*' "$status $(cat "$work/wrong")"
    status=0
    printf 'data_pat = "x"\n' >"$work/wrong.toml"
    "$server" --conf "$work/wrong.toml" >"$work/wrong" 2>&1 || status=$?
    verdict "an unknown key names the nearest" '2 *data_path*' "$status $(cat "$work/wrong")"
    status=0
    "$server" --version >"$work/wrong" 2>&1 || status=$?
    verdict "the version is told" '0 *[0-9].[0-9]*' "$status $(cat "$work/wrong")"
}

wrong_starts
start
operator_routes
keys_over_http
keys_over_ctl
keys_over_etcdctl
ctl 0 '*' kv put lasting value
stop
start
ctl 0 'value' kv get lasting
kill -KILL "$server_pid"
wait "$server_pid" 2>/dev/null || true
start
ctl 0 'value' kv get lasting
stop

echo "integration: $passed passed, $failed failed"
[[ $failed -eq 0 ]]
