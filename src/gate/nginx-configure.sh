#!/bin/bash
# nginx-configure.sh OUTPUT-DIRECTORY: makes ngx_auto_config.h for the installed nginx, with the flags
# that nginx was built with, so that our module has the same signature. nginx-dev ships no such file.
set -euo pipefail
source_directory=/usr/share/nginx/src
output=$(mkdir -p "$1" && cd "$1" && pwd)
source "$source_directory/conf_flags"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$source_directory/auto" "$source_directory/configure" "$source_directory/src" "$work/"
cd "$work"
# configure ends with making a Makefile for sources that are not there; only the headers matter.
./configure "${NGX_CONF_FLAGS[@]}" --with-cc-opt='-O2 -fPIC' --with-ld-opt=-fPIC --builddir="$work/objs" \
    >"$output/configure.log" 2>&1 || true
test -s "$work/objs/ngx_auto_config.h" || { cat "$output/configure.log" >&2; exit 1; }
cp "$work/objs/ngx_auto_config.h" "$work/objs/ngx_auto_headers.h" "$output/"
