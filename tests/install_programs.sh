#!/bin/sh
# Installs the programs that some tests need besides Python, from Debian's packages. It names them
# first, and asks if it is run in a terminal.
set -eu

has() { command -v "$1" >/dev/null; }

packages=""
purposes=""
need() { # PURPOSE PACKAGE…
    purposes="$purposes
  $1: $2"
    packages="$packages $2"
}

{ has chromedriver && { has chromium || has google-chrome; }; } ||
    need "to open the report's pages" "chromium chromium-driver fonts-dejavu-core"
has firefox-esr || has firefox || need "to open them in a second browser" "firefox-esr"
{ has pdflatex && has kpsewhich && kpsewhich booktabs.sty >/dev/null; } ||
    need "to typeset the LaTeX tables" "texlive-latex-base texlive-latex-recommended"
has soffice || need "to open the CSV files as a spreadsheet" "libreoffice-calc"
[ -n "$packages" ] || exit 0

stop() {
    echo "$1" >&2
    echo "Nothing was installed. \"make check\" runs the tests that need none of these." >&2
    exit 1
}

echo "Some tests need programs that are not on the PATH. Their Debian packages:$purposes" >&2
has apt-get || stop "There is no apt-get here: please install the programs in another way."
root=""
if [ "$(id -u)" -ne 0 ]; then
    has sudo || stop "You are not root and there is no sudo: ask an administrator for$packages."
    root="sudo"
fi
if [ -t 0 ]; then
    printf 'Install them with "%sapt-get install"? [y/N] ' "${root:+sudo }" >&2
    read -r answer
    case $answer in
    [yY]*) ;;
    *) stop "Not installed, as you wish." ;;
    esac
fi
$root apt-get update -qq
# shellcheck disable=SC2086 # several packages
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    $packages >/dev/null
