#!/usr/bin/env bash
# Stops the placement center that bin/start.sh started: SIGTERM, then waits for its end.
# Usage: bin/stop.sh    RUN_DIR as given to bin/start.sh
set -euo pipefail
cd "$(dirname "$0")/.."

run_dir=${RUN_DIR:-run}
pid_file=$run_dir/placement-center.pid
wait_seconds=30

if [[ ! -s $pid_file ]]; then
    echo "stop.sh: no $pid_file: nothing was started from here" >&2
    exit 1
fi
pid=$(<"$pid_file")
# After a crash the number may belong to another process: only what bears our name is stopped.
if [[ $(cat "/proc/$pid/comm" 2>/dev/null) != placement-cent* ]]; then
    rm -f "$pid_file"
    echo "stop.sh: pid $pid no longer runs" >&2
    exit 1
fi

kill -TERM "$pid"
for ((tenths = 0; tenths < wait_seconds * 10; tenths++)); do
    if ! kill -0 "$pid" 2>/dev/null; then
        rm -f "$pid_file"
        echo "stopped (pid $pid)"
        exit 0
    fi
    sleep 0.1
done
echo "stop.sh: pid $pid still runs after $wait_seconds s; a second SIGTERM stops it at once: kill -TERM $pid" >&2
exit 1
