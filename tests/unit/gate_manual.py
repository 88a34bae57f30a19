#!/usr/bin/python3
"""gate_manual.py BUILD: every directive and variable of the nginx module is in catalogue/directives.def, in docs/gate.md and
docs/gate.ja.md, and in both pages of masugata-gate(5), with the same preset, and nothing else is."""

import pathlib
import re
import sys

SOURCE, BUILD = pathlib.Path(__file__).resolve().parents[2], pathlib.Path(sys.argv[1])


def text(name):
    return (SOURCE / name).read_text()


def main():
    module = re.findall(r'(?:ngx_string|SERVER_DIRECTIVE)\("(masugata\w*)"', text("src/gate/module.c"))
    variables = re.findall(r'ngx_string\("(masugata_\w+)"\)', text("src/gate/variables.c"))
    rows = re.findall(r'^DIRECTIVE\("(\w+)", "([^"]*)", "([^"]*)", "([^"]*)"', text("catalogue/directives.def"), re.M)
    assert len(module) >= 7 and len(variables) >= 7
    assert sorted(row[0] for row in rows) == sorted(module), "catalogue/directives.def and src/gate/module.c"
    assert re.findall(r'^GATE_VARIABLE\("(\w+)"', text("catalogue/directives.def"), re.M) == variables, "variables"

    for place, none in (("docs/gate.md", "none, required"), ("docs/gate.ja.md", "なし (必須)")):
        document = text(place)
        told = {name: (value.replace("\\|", "|"), contexts, preset)
                for name, value, contexts, preset in re.findall(r"^\| `(masugata\w*) ([^`]+)` \| ([^|]+) \| ([^|]+) \|", document, re.M)}
        assert told == {name: (value, contexts, f"`{preset}`" if preset else none) for name, value, contexts, preset in rows}, told
        assert re.findall(r"^\| `\$(\w+)`", document, re.M) == variables, f"{place}: variables"

    for language in ("en", "ja"):
        page = (BUILD / "man" / language / "masugata-gate.5").read_text()
        assert re.findall(r'^\.BI "(\w+) "', page, re.M) == [row[0] for row in rows], language
        assert re.findall(r'^\.B "\$(\w+)"', page, re.M) == variables, language
    print(f"{len(rows)} directives and {len(variables)} variables are told of in the manual and the reference")


main()
