#!/usr/bin/env bash
# Runs cargo-deny, installing it once into the tool cache when it is missing. It has a target
# directory of its own because its dependencies are not ours.
set -euo pipefail
version=0.20.2
cache="${MC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/merchant-copilot}"
tool="$cache/tools/bin/cargo-deny"
if ! "$tool" --version 2>/dev/null | grep "$version" >/dev/null; then
    echo "installing cargo-deny $version (once)"
    CARGO_TARGET_DIR="$cache/tools/target" cargo install --quiet --locked "cargo-deny@$version" --root "$cache/tools"
    rm -rf "$cache/tools/target"
fi
exec "$tool" "$@"
