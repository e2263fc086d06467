#!/usr/bin/env bash
# Runs a command with TEST_POSTGRES_URL pointing at a throw-away Postgres on loopback, which is gone
# afterwards. Postgres refuses to run as root, so root borrows Debian's postgres user.
set -euo pipefail
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
dir=$(mktemp -d "${TMPDIR:-/tmp}/mc-postgres.XXXXXX")
port=$(python3 "$(dirname "$0")/free-port.py")
as=()
if [ "$(id -u)" = 0 ]; then
    as=(runuser -u postgres --)
    chown postgres "$dir"
fi
stop() {
    "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap stop EXIT
cd "$dir"
"${as[@]}" "$bin/initdb" -D "$dir/data" -U test -A trust -E UTF8 --locale=C.UTF-8 >/dev/null
# fsync off: nothing here has to survive.
"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -w -t 180 -l "$dir/log" \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -c fsync=off -c max_connections=200" start >/dev/null
cd - >/dev/null
export TEST_POSTGRES_URL="postgres://test@127.0.0.1:$port/postgres"
"$@"
