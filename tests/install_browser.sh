#!/bin/sh
# Installs Chromium with its driver and Firefox where the tests need them and Debian's packages are
# at hand. Firefox needs no driver.
set -eu

has() { command -v "$1" >/dev/null; }

missing=""
if ! { has chromedriver && { has chromium || has google-chrome; }; }; then
    missing="chromium chromium-driver fonts-dejavu-core"
fi
has firefox || has firefox-esr || missing="$missing firefox-esr"
[ -n "$missing" ] || exit 0

if ! has apt-get; then
    echo "The report's tests need Chromium, chromedriver and Firefox on the PATH;" \
        "please install what is missing." >&2
    exit 1
fi
root=""
[ "$(id -u)" -eq 0 ] || root="sudo"
$root apt-get update -qq
# shellcheck disable=SC2086 # several packages
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    $missing >/dev/null
