#!/bin/sh
# Installs Chromium and its driver where the tests need them and Debian's packages are at hand.
set -eu

if command -v chromedriver >/dev/null && { command -v chromium || command -v google-chrome; } >/dev/null
then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "The report's tests need Chromium and chromedriver on the PATH; please install them." >&2
    exit 1
fi
root=""
[ "$(id -u)" -eq 0 ] || root="sudo"
$root apt-get update -qq
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    chromium chromium-driver fonts-dejavu-core >/dev/null
