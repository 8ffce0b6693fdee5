#!/bin/sh
# Installs TeX and LibreOffice Calc for the tests of exports, where Debian's packages are at hand.
set -eu

if command -v pdflatex >/dev/null && command -v kpsewhich >/dev/null &&
    kpsewhich booktabs.sty >/dev/null && command -v soffice >/dev/null
then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "The tests of exports need pdflatex with booktabs, and LibreOffice's soffice; please install them." >&2
    exit 1
fi
root=""
[ "$(id -u)" -eq 0 ] || root="sudo"
$root apt-get update -qq
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    texlive-latex-base texlive-latex-recommended libreoffice-calc >/dev/null
