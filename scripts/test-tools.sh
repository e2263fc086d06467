#!/usr/bin/env bash
# Installs what the tests need and the machine lacks: a browser with Chinese fonts, a second
# database, PHP for the example in it, and third-party clients and providers (see tests/peers/). Idempotent and quiet.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${MC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/merchant-copilot}"

missing=()
command -v chromium >/dev/null || missing+=(chromium)
# Read to its end (no -q): a list that is cut off fails, and the fonts would be installed once more.
fc-list 2>/dev/null | grep -i "noto.*cjk" >/dev/null || missing+=(fonts-noto-cjk fontconfig)
command -v php >/dev/null || missing+=(php-cli)
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
if ((${#missing[@]})); then
    echo "installing ${missing[*]}"
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    # The database package would start a server of its own; the tests start theirs in a temporary folder.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

stamp="$cache/peers/$(cat tests/peers/requirements.txt tests/peers/package.json | sha256sum | cut -c1-16)"
if [ ! -f "$stamp" ]; then
    echo "installing third-party peers for the wire tests"
    mkdir -p "$cache/peers"
    python3 -m venv "$cache/peers/venv"
    "$cache/peers/venv/bin/pip" install --quiet --disable-pip-version-check -r tests/peers/requirements.txt
    cp tests/peers/package.json "$cache/peers/package.json"
    (cd "$cache/peers" && npm install --no-audit --no-fund --loglevel=error)
    touch "$stamp"
fi

# LiteLLM drags in a hundred packages; where they cannot be had, its checks are left out.
litellm="litellm[proxy]==1.108.7"
stamp="$cache/peers/$(echo "$litellm" | sha256sum | cut -c1-16)"
if [ ! -f "$stamp" ]; then
    echo "installing $litellm for the wire tests"
    rm -rf "$cache/peers/litellm"
    python3 -m venv "$cache/peers/litellm"
    if ! "$cache/peers/litellm/bin/pip" install --quiet --disable-pip-version-check "$litellm"; then
        echo "LiteLLM cannot be installed: its checks are left out" >&2
        rm -rf "$cache/peers/litellm"
    fi
    touch "$stamp"
fi
