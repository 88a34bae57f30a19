#!/usr/bin/env python3
"""Every code of catalogue/reasons.def that the sources give has a row, with as many parameters as its sentences take,
no row is left that nothing gives, and the parts whose reasons stand on pages give no sentences of their own."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
rows = dict(re.findall(r'^REASON\((\w+),\s*"((?:[^"\\]|\\.)*)"', (root / "catalogue/reasons.def").read_text(), re.M))
wrong = []
given = set()


def parameters(sentence):
    return len(set(re.findall(r"\{([1-9>])\}", sentence)))


for path in sorted((root / "src").rglob("*.c")):
    text = path.read_text().replace("'\"'", "")
    for literal in re.findall(r'"((?:[^"\\]|\\.)*)"', text):
        given.add(literal)
        found = re.search(r"(?:^|[ =:])([A-Z][A-Z0-9]*_[A-Z0-9_]*|LOGIN)\|(.*)", literal)
        if found is None or found[1] == "SCIM_":
            continue
        code, rest = found[1], found[2]
        given.add(code)
        if code not in rows:
            wrong.append(f"{path.name}: {code} has no row in catalogue/reasons.def")
        elif (rest.count("|") + 1 if rest else 0) != parameters(rows[code]) and "{>}" not in rows[code]:
            wrong.append(f"{path.name}: {code} has not the parameters of its sentence: {literal}")

# Codes put together from two pieces, and those that other parts give alone (a sign-in's in the log).
PIECES = {"OPTION_DURATION", "OPTION_NUMBER", "ROUTE_KEYWORD", "POLICY_KEYWORD", "CERTIFICATE_IS", "CERTIFICATE_IS_NOT"}
ALONE = {"UNKNOWN", "DISABLED", "LOCKED", "RATE_LIMITED", "ADDRESS_NOT_ALLOWED", "PASSWORD_MUST_CHANGE", "SECOND_FACTOR",
         "SECOND_FACTOR_SET_UP", "TICKET_SPENT", "CHANGED_MEANWHILE"}
for code in rows:
    if code not in given and code not in PIECES | ALONE:
        wrong.append(f"catalogue/reasons.def: nothing gives {code}")

ON_PAGES = ["src/domain/identity_provider.c", "src/domain/tenant_policy.c", "src/domain/sign_in_method.c", "src/ports/saml_xml.c"]
for name in ON_PAGES:
    for detail in re.findall(r'fail_with\(\s*(?:INVALID|MALFORMED),\s*"((?:[^"\\]|\\.)*)"', (root / name).read_text()):
        if not re.match(r"([A-Z][A-Z0-9_]*\||%s_KEYWORD\|)", detail) and detail != "%s":
            wrong.append(f"{name}: a sentence in one language: {detail}")
for path in sorted((root / "src/process/authority").glob("*.c")):
    for reason in re.findall(r'(?:ret_reason|\breason) = "([^"]+)"', path.read_text()):
        if not re.match(r"[A-Z][A-Z0-9_]*\|?$", reason):
            wrong.append(f"{path.name}: a sentence in one language: {reason}")

for line in wrong:
    print(line)
sys.exit(1 if wrong or len(rows) < 100 else 0)
