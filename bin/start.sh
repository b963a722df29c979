#!/usr/bin/env bash
# Starts a placement center in the background, waits until it serves, and says where.
# Usage: bin/start.sh [FLAG...]    flags go to placement-center; without --conf, config/placement-center.toml
# RUN_DIR (default: run/) receives the pid file and what the server prints. BIN names another binary.
set -euo pipefail
cd "$(dirname "$0")/.."

run_dir=${RUN_DIR:-run}
bin=${BIN:-${CARGO_TARGET_DIR:-target}/release/placement-center}
pid_file=$run_dir/placement-center.pid
out=$run_dir/placement-center.out
wait_seconds=60

if [[ ! -x $bin ]]; then
    echo "start.sh: there is no $bin; build it first: make build" >&2
    exit 1
fi
# After a crash the number may belong to another process: only one that bears our name counts.
if [[ -s $pid_file && $(cat "/proc/$(<"$pid_file")/comm" 2>/dev/null) == placement-cent* ]]; then
    echo "start.sh: already running, pid $(<"$pid_file") ($pid_file); bin/stop.sh stops it" >&2
    exit 1
fi

conf=(--conf config/placement-center.toml)
for argument in "$@"; do
    [[ $argument == --conf || $argument == --conf=* ]] && conf=()
done

mkdir -p "$run_dir"
nohup "$bin" "${conf[@]}" "$@" >"$out" 2>&1 </dev/null &
pid=$!
echo "$pid" >"$pid_file"

for ((tenths = 0; tenths < wait_seconds * 10; tenths++)); do
    if serving=$(grep -m 1 ' serving: ' "$out"); then
        echo "$serving"
        echo "pid $pid ($pid_file), output in $out"
        exit 0
    fi
    if ! kill -0 "$pid" 2>/dev/null; then
        rm -f "$pid_file"
        echo "start.sh: it did not start; it said:" >&2
        cat "$out" >&2
        exit 1
    fi
    sleep 0.1
done
echo "start.sh: pid $pid does not serve after $wait_seconds s; it keeps running, see $out" >&2
exit 1
