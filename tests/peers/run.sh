#!/usr/bin/env bash
# The server against programs that nobody on this project wrote, and a browser:
#   tests/peers/run.sh path/to/merchant-copilot
# One line per check, `N passed, N failed` at the end, and what was not run. SHOTS=DIR keeps the browser's pictures.
set -euo pipefail
[ -x "${1:-}" ] || { echo "usage: $0 path/to/merchant-copilot" >&2; exit 2; }
binary="$(realpath "$1")"
cd "$(dirname "$0")/../.."
./scripts/test-tools.sh
[ -d web/node_modules ] || (cd web && npm ci --no-audit --no-fund --loglevel=error)

export PEERS="${MC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/merchant-copilot}/peers"
deadline=$((SECONDS + 2700))
place="$(mktemp -d)"
shots="${SHOTS:-$place/shots}"
server="" provider="" gateway="" visitor="" passed=0 failed=0 failures="" not_run=""

stop() { # PID: asks, then insists
    [ -n "$1" ] || return 0
    kill "$1" 2>/dev/null || return 0
    for _ in $(seq 100); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done
    kill -9 "$1" 2>/dev/null || true
}
cleanup() {
    stop "$visitor"
    stop "$server"
    stop "$provider"
    stop "$gateway"
    rm -rf "$place"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

count() { # LINE: prints and counts it
    echo "$1"
    case "$1" in
        "ok "*) passed=$((passed + 1)) ;;
        "FAIL "*) failed=$((failed + 1)) failures+="$1"$'\n' ;;
    esac
}

# NAME COMMAND…: counts the lines it prints; one that dies without saying what failed counts as well.
peer() {
    local name="$1" status=0 before="$failed" left line
    shift
    left=$((deadline - SECONDS))
    echo "-- $name"
    # In the background, so that a signal to this script is heard at once.
    timeout -k 2 "$((left > 1 ? left : 1))" "$@" >"$place/out" 2>"$place/err" &
    visitor=$!
    wait "$visitor" || status=$?
    visitor=""
    while IFS= read -r line; do count "$line"; done <"$place/out"
    if [ "$status" != 0 ] && [ "$failed" = "$before" ]; then
        count "FAIL  $name — ended with status $status"
        tail -n 15 "$place/err"
    fi
}

ready() { # URL: true when it answers within three minutes; a busy machine is slow
    local late=$((SECONDS + 180))
    while [ "$SECONDS" -lt "$late" ]; do
        curl -fs -o /dev/null -m 2 "$1" && return 0
        sleep 0.2
    done
    return 1
}

start() { # starts the server on a free port; sets base and console
    : >"$place/announced"
    "$binary" serve --json --data-dir "$place/data" --listen 127.0.0.1:0 --config "$place/server.toml" \
        >"$place/announced" 2>>"$place/server.log" &
    server=$!
    local late=$((SECONDS + 180))
    while [ "$SECONDS" -lt "$late" ]; do
        [ -s "$place/announced" ] && break
        kill -0 "$server" 2>/dev/null || break
        sleep 0.2
    done
    base="$(python3 -c 'import json, sys; print(json.load(sys.stdin)["url"].rstrip("/"))' <"$place/announced")" || base=""
    console="$(python3 -c 'import json, sys; print(json.load(sys.stdin)["console"])' <"$place/announced")" || console=""
    if [ -n "$base" ] && ready "$base/readyz"; then return 0; fi
    tail -n 15 "$place/server.log"
    return 1
}

free_port() { python3 scripts/free-port.py; }
new_key() { "$binary" key issue --json --data-dir "$place/data" "$@" 2>/dev/null | python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])'; }

# aimock plays the provider, and asks for a key.
port="$(free_port)"
aimock="http://127.0.0.1:$port"
AIMOCK_API_KEYS=sk-peer-key node "$PEERS/node_modules/.bin/llmock" -p "$port" -f tests/peers/fixtures --validate-on-load --log-level warn >"$place/aimock.log" 2>&1 &
provider=$!

# The server knows it under the usual names, and by its configuration under some more. Without the
# limits of a single visitor: all of this comes from one address.
export OPENAI_API_KEY=sk-peer-key OPENAI_BASE_URL="$aimock/v1" OPENAI_MODEL=peer-answer
litellm="http://127.0.0.1:$(free_port)"
lark="$(free_port)"
wecom="$(free_port)"
sed "s|AIMOCK|$aimock|; s|LITELLM|$litellm|; s|LARK|http://127.0.0.1:$lark|; s|WECOM|ws://127.0.0.1:$wecom|" tests/peers/server.toml >"$place/server.toml"
export COPILOT_LIMITS__KEY_PER_MINUTE=6000 COPILOT_LIMITS__ADDRESS_PER_MINUTE=6000
export COPILOT_CHAT__REASONING=shown
unset COPILOT_DATA_DIR COPILOT_CONFIG COPILOT_LISTEN COPILOT_DATABASE COPILOT_INDEX DASHSCOPE_API_KEY DEEPSEEK_API_KEY GEMINI_API_KEY ANTHROPIC_API_KEY ANTHROPIC_BASE_URL ANTHROPIC_MODEL

began=$SECONDS
if ! start; then
    count "FAIL  the server starts"
    echo "$passed passed, $failed failed"
    exit 1
fi
count "ok    the server starts on an empty directory and can be searched ($((SECONDS - began)) s)"
origin=http://shop.test
member="$(new_key --role member)"
site="$(new_key --role site --origin "$origin")"

python="$PEERS/venv/bin/python"
export PYTHONDONTWRITEBYTECODE=1
# First, while the server's line is tried often.
peer "wecom-aibot-sdk from PyPI judges a gateway and a WeCom bot" "$python" tests/peers/wecom_sdk.py "$wecom"
peer "openai from PyPI" "$python" tests/peers/openai_client.py "$base" "$member" "$site"
peer "openai from npm" node tests/peers/openai_client.mjs "$base" "$member"
peer "aimock as the provider" node tests/peers/provider.mjs "$base" "$member" "$aimock" sk-peer-key shown
peer "aimock in other dialects" node tests/peers/dialects.mjs "$base" "$member" "$aimock" sk-peer-key
if [ -x "$PEERS/litellm/bin/litellm" ]; then
    COPILOT_BASE="$base/v1" COPILOT_KEY="$member" LITELLM_LOCAL_MODEL_COST_MAP=True "$PEERS/litellm/bin/litellm" \
        --config tests/peers/litellm.yaml --host 127.0.0.1 --port "${litellm##*:}" >"$place/litellm.log" 2>&1 &
    gateway=$!
    if ready "$litellm/health/liveliness"; then
        peer "LiteLLM as provider and as client" "$python" tests/peers/litellm_client.py "$base" "$member" "$litellm"
    else
        count "FAIL  LiteLLM starts — $(tail -n 1 "$place/litellm.log")"
    fi
    stop "$gateway"
    gateway=""
else
    not_run="LiteLLM as provider and as client (it could not be installed here)"
    echo "-- not run: $not_run"
fi
peer "mcp from PyPI" "$python" tests/peers/mcp_client.py "$base" "$member"
peer "the MCP inspector from npm" node tests/peers/inspector.mjs "$base" "$member"
"$binary" tenant add fuzzed --data-dir "$place/data" >/dev/null 2>&1
"$binary" kb import knowledge/starter/merchant_qa.en.jsonl --tenant fuzzed --data-dir "$place/data" >/dev/null 2>&1 || true
peer "schemathesis against /openapi.json" "$python" tests/peers/fuzz_api.py "$base" "$(new_key --role admin --tenant fuzzed)"
peer "dingtalk-stream from PyPI judges the local platform" "$python" tests/peers/dingtalk_sdk.py "$binary"
peer "dingtalk-stream from npm judges the local platform" node tests/peers/dingtalk_sdk.mjs "$binary"
peer "the sessions in the READMEs" "$python" tests/peers/recorded_session.py "$binary" "$place/data"
peer "lark-oapi from PyPI judges a Feishu bot" "$python" tests/peers/lark_sdk.py "$base" "$lark"
peer "wechatpy from PyPI encrypts for a WeCom bot" "$python" tests/peers/wecom_crypto.py "$base"
peer "WebSocket by hand" python3 tests/peers/raw_websocket.py "$base" "$member" "$site" "$origin"
E2E_SLOW_MODEL=peer-slow peer "the widget in Chromium" node web/e2e/widget.mjs "$base" "$shots"
peer "the console in Chromium" node web/e2e/console.mjs "$console" "$shots"
peer "the widget on a page of another origin" node web/e2e/embed.mjs "$binary" "$shots"
peer "the console at work" node web/e2e/workbench.mjs "$base" "$(new_key --role admin)" "$shots"
peer "the channels and the evaluation set" node web/e2e/channels.mjs "$binary" "$shots"
peer "the lab, and every page empty, failing or out of reach" node web/e2e/lab.mjs "$binary" "$shots"

# Once more on the same directory, with the default way of reasoning.
echo "-- a restart"
kill "$server"
status=0
wait "$server" || status=$?
server=""
if [ "$status" = 0 ]; then count "ok    SIGTERM stops the server cleanly"; else count "FAIL  SIGTERM stops the server cleanly — status $status"; fi
unset COPILOT_CHAT__REASONING
began=$SECONDS
if start; then
    count "ok    the server starts again ($((SECONDS - began)) s)"
    peer "aimock, reasoning hidden" node tests/peers/provider.mjs "$base" "$member" "$aimock" sk-peer-key hidden
else
    count "FAIL  the server starts again"
fi
if grep -qE "panicked|ERROR" "$place/server.log"; then
    count "FAIL  no errors in the server's log — $(grep -m1 -E "panicked|ERROR" "$place/server.log")"
else
    count "ok    no errors in the server's log"
fi

# Again at the end, where whoever reads a long log looks first.
[ "$failed" = 0 ] || printf '\n%s\n' "$failures"
echo "$passed passed, $failed failed${not_run:+, not run: $not_run}"
[ "$failed" = 0 ]
