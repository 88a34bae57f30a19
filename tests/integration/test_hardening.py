"""Reads back from the built programs what the compiler and linker were told, and what they are linked with."""

import os
import pathlib
import re
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("MASUGATA_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
PROGRAMS = sorted(path for path in BUILD.glob("masugata*")
                  if path.is_file() and os.access(path, os.X_OK) and path.read_bytes()[:4] == b"\x7fELF")
MODULES = sorted(BUILD.glob("**/ngx_http_masugata*.so"))
NAMES = [path.name for path in PROGRAMS + MODULES]

pytestmark = pytest.mark.skipif("b_sanitize" in (BUILD / "meson-info/intro-buildoptions.json").read_text()
                                and '"b_sanitize", "value": "none"' not in re.sub(
                                    r"\s+", " ", (BUILD / "meson-info/intro-buildoptions.json").read_text()),
                                reason="a sanitizer build is not what is shipped")

# What a person would look at first when one of them appears in the wrong process.
LIBRARIES = {
    "libpq": {"authority", "worker", "watch", "prober", "launcher"},
    "libmicrohttpd": {"portal"},
    "libcurl": {"worker", "watch", "prober", "federation"},
    "libargon2": {"hasher", "keys"},
    "libcrypt": {"hasher"},
    "libsodium": {"hasher", "vault"},
    "libconfuse": {"warden", "masugata"},
    "liblasso": set(),
    "libssh": set(),
}


def readelf(path, *flags):
    return subprocess.run(["readelf", "-W", *flags, str(path)], capture_output=True, text=True, check=True,
                          env={"LC_ALL": "C"}).stdout


@pytest.fixture(params=PROGRAMS + MODULES, ids=NAMES)
def binary(request):
    return request.param


def test_position_independent(binary):
    header = readelf(binary, "-h")
    assert re.search(r"Type:\s+DYN", header)
    if binary in PROGRAMS:
        assert re.search(r"FLAGS_1.*\bPIE\b", readelf(binary, "-d"))


def test_relocations_are_read_only_and_bound_at_start(binary):
    assert "GNU_RELRO" in readelf(binary, "-l")
    dynamic = readelf(binary, "-d")
    assert "BIND_NOW" in dynamic or re.search(r"Flags:.*\bNOW\b", dynamic)
    assert "TEXTREL" not in dynamic
    assert "RUNPATH" not in dynamic and "RPATH" not in dynamic


def test_no_executable_stack_and_nothing_writable_and_executable(binary):
    segments = readelf(binary, "-l")
    stack = re.search(r"GNU_STACK.*", segments).group(0)
    assert re.search(r"\bRW\s", stack) and "RWE" not in stack
    assert "RWE" not in segments


def test_control_flow_protection(binary):
    """Shadow stacks are asked for in the program. Debian's start-up objects have no landing pads, so the linker
    cannot promise IBT for the whole; each object of ours has them (next test), and main shows it."""
    assert "SHSTK" in readelf(binary, "-n")
    if binary in PROGRAMS:
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "--disassemble=main", str(binary)],
                              capture_output=True, text=True, check=True).stdout
        assert re.search(r"<main>:\n\s+[0-9a-f]+:\s+endbr64", code)


def test_every_object_of_ours_has_landing_pads_and_shadow_stack_code():
    objects = [path for path in BUILD.rglob("*.o") if "/tests/" not in str(path)
               and "/nginx" not in str(path) and "_src_" in path.name or path.parent.name.startswith("lib")]
    assert objects
    notes = subprocess.run(["readelf", "-n", *map(str, objects)], capture_output=True, text=True, check=True).stdout
    for part in notes.split("\nFile: ")[1:]:
        assert "IBT" in part and "SHSTK" in part, part.splitlines()[0]


def test_stack_protector_and_fortified_functions(binary):
    symbols = readelf(binary, "--dyn-syms")
    assert "__stack_chk_fail" in symbols
    fortified = set(re.findall(r"\b__(\w+)_chk\b", symbols)) - {"stack"}
    assert fortified, "no _FORTIFY_SOURCE function is used"
    assert not re.search(r" (gets|strcpy|strcat|sprintf|system|popen|mktemp|tmpnam)@", symbols)


def libraries(path):
    return set(re.findall(r"\(NEEDED\).*\[(lib[\w+-]+?)(?:-\d[\d.]*)?\.so", readelf(path, "-d")))


@pytest.mark.parametrize("path", PROGRAMS, ids=[path.name for path in PROGRAMS])
def test_linked_libraries_show_the_boundary(path):
    process = path.name.removeprefix("masugata-")
    if process in ("notes", "drill"):
        pytest.skip("an application behind the gate is not one of our processes")
    linked = libraries(path)
    for library, processes in LIBRARIES.items():
        if library in linked:
            assert process in processes or (process == "masugata" and library in ("libpq", "libcurl")), \
                f"{path.name} is linked with {library}"


def test_keys_reads_no_foreign_format():
    assert libraries(BUILD / "masugata-keys") <= {"libcrypto", "libargon2", "libseccomp", "libc", "libunistring", "libm"}


def test_the_hasher_needs_next_to_nothing():
    assert libraries(BUILD / "masugata-hasher") <= {"libargon2", "libsodium", "libcrypt", "libseccomp", "libc"}


def test_every_process_of_the_catalogue_was_looked_at():
    text = (pathlib.Path(__file__).resolve().parents[2] / "catalogue/processes.def").read_text()
    listed = set(re.findall(r"^PROCESS\(\w+, (\w+)", text, re.M)) | {"warden"}
    assert listed <= {path.name.removeprefix("masugata-") for path in PROGRAMS}
