"""Writes a C file that holds the given files as bytes: embed.py OUT.c SYMBOL FILE...

The pages, their style sheet and their translations are part of the program, so that nothing has to
be found, or can be changed, on disk."""
import pathlib
import sys


def main() -> None:
    out, symbol, files = sys.argv[1], sys.argv[2], sorted(sys.argv[3:], key=lambda f: pathlib.Path(f).name)
    lines = ['#include "ports/embedded.h"', ""]
    rows = []
    for number, file in enumerate(files):
        data = pathlib.Path(file).read_bytes()
        lines.append(f"static const uint8_t file_{number}[] = {{")
        for at in range(0, len(data), 24):
            lines.append("    " + "".join(f"{byte}," for byte in data[at:at + 24]))
        # An empty array is not C; the length below does not count this byte.
        lines.append("    0};")
        rows.append(f'    {{"{pathlib.Path(file).name}", {{file_{number}, {len(data)}}}}},')
    lines += [f"const struct mg_embedded {symbol}[] = {{", *rows, "    {NULL, {NULL, 0}},", "};", ""]
    pathlib.Path(out).write_text("\n".join(lines))


main()
