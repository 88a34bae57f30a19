"""Collects the messages that people read: messages.py POT SOURCE... | messages.py --check PO SOURCE...

Sources are page templates ({{_ ...}}) and C files (N_("...")). Writes a gettext template (.pot) with
the place of each; `msgmerge --update po/ja.po POT` brings the translation up to date. With --check
names what the translation lacks or has for nothing, and fails."""
import pathlib
import re
import sys

TEMPLATE = re.compile(r"\{\{_ (.*?)\}\}(?!\})", re.S)
IN_C = re.compile(r'\bN_\(((?:\s*"(?:[^"\\]|\\.)*")+)\s*\)')
PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"')


def messages(path: pathlib.Path):
    text = path.read_text()
    pattern = TEMPLATE if path.suffix == ".html" else IN_C
    for match in pattern.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if path.suffix == ".html":
            yield match.group(1).replace("\\", "\\\\").replace('"', '\\"'), line
        else:
            yield "".join(PIECE.findall(match.group(1))), line


def check(po: str, found: dict[str, list[str]]) -> None:
    """PO as this file and msgmerge write it; long texts may be split over lines."""
    text = re.sub(r'"\n"', "", pathlib.Path(po).read_text())
    rows = dict(re.findall(r'^msgid "(.+)"\nmsgstr "(.*)"$', text, re.M))
    lacking = [message for message in found if not rows.get(message)]
    idle = [message for message in rows if message not in found]
    for message in lacking:
        print(f"not translated: {message}")
    for message in idle:
        print(f"translated for nothing: {message}")
    sys.exit(1 if lacking or idle else 0)


def main() -> None:
    found: dict[str, list[str]] = {}
    checking = sys.argv[1] == "--check"
    if checking:
        del sys.argv[1]
    for source in sys.argv[2:]:
        path = pathlib.Path(source)
        for message, line in messages(path):
            found.setdefault(message, []).append(f"{path.parent.name}/{path.name}:{line}")
    if checking:
        check(sys.argv[1], found)
    lines = ['msgid ""', 'msgstr ""', '"MIME-Version: 1.0\\n"', '"Content-Type: text/plain; charset=UTF-8\\n"',
             '"Content-Transfer-Encoding: 8bit\\n"', ""]
    for message, places in found.items():
        # Places without line numbers: they would change with every edit.
        names = sorted({place.split(":")[0] for place in places})
        lines += [f"#: {' '.join(names)}", f'msgid "{message}"', 'msgstr ""', ""]
    pathlib.Path(sys.argv[1]).write_text("\n".join(lines))


main()
