"""ARCHITECTURE.md rule 4: what each folder of src/ may include."""

import pathlib
import re

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src"
# base <- wire <- domain <- ports <- probes <- process; gate: base and wire; cli: domain and the ports it names.
MAY = {
    "base": {"base"},
    "wire": {"base", "wire"},
    "domain": {"base", "wire", "domain"},
    "ports": {"base", "wire", "domain", "ports"},
    "probes": {"base", "wire", "domain", "ports", "probes"},
    "process": {"base", "wire", "domain", "ports", "probes", "process"},
    "gate": {"base", "wire", "gate"},
    "cli": {"base", "wire", "domain", "ports", "cli"},
}
# A process includes its own folder and what all share.
SHARED = {"runtime", "sandbox"}
# What does I/O, and so has no place in a decision.
IO_HEADERS = {"unistd.h", "fcntl.h", "sys/socket.h", "sys/stat.h", "sys/types.h", "sys/epoll.h", "poll.h", "netdb.h", "pthread.h",
              "libpq-fe.h", "curl/curl.h", "microhttpd.h", "dirent.h", "sys/mman.h"}


def includes():
    for path in sorted(SOURCE.rglob("*.[ch]")):
        for line in path.read_text().splitlines():
            if match := re.match(r'\s*#\s*include\s*([<"])([^">]+)[">]', line):
                yield path.relative_to(SOURCE), match.group(1), match.group(2)


def test_folders_include_only_what_stands_left_of_them():
    wrong = []
    for path, kind, name in includes():
        folder, target = path.parts[0], name.split("/")[0]
        if kind == '"' and target in MAY and "/" in name and target not in MAY[folder]:
            wrong.append(f"{path} includes {name}")
    assert wrong == []


def test_processes_do_not_include_each_other():
    wrong = []
    for path, kind, name in includes():
        parts = name.split("/")
        if path.parts[0] == "process" and kind == '"' and parts[0] == "process" and parts[1] not in SHARED | {path.parts[1]}:
            wrong.append(f"{path} includes {name}")
    assert wrong == []


def test_decisions_do_no_io():
    wrong = [f"{path} includes {name}" for path, kind, name in includes()
             if path.parts[0] == "domain" and kind == "<" and name in IO_HEADERS]
    assert wrong == []


def test_no_machine_paths():
    wrong = [str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*")
             if path.is_file() and re.search(rb"/work/|/tmp/wt", path.read_bytes())]
    assert wrong == []
