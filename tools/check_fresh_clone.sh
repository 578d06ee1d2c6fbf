#!/usr/bin/env bash
# Runs what a new user runs, in a clone and an environment of its own:
#   tools/check_fresh_clone.sh [quickstart] [test]
set -euo pipefail
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT
git clone --quiet "$root" "$clone/keras_kd"
cd "$clone/keras_kd"
for target in "${@:-quickstart}"; do
    time make "$target"
done
