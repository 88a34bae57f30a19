"""The message table for tests: packets as dictionaries, read from catalogue/messages.def.

    channel = Channel(socket)
    channel.request("ping")                        -> {} or Failed
    kind, call, fields = channel.receive()

Standard library only. `Process` starts one masugata-<name> alone, with the test as its warden and peers."""

import array
import os
import pathlib
import re
import socket
import struct
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _strip_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def _rows(text):
    """(macro, [arguments]) for every row; the fields stay one text."""
    position = 0
    pattern = re.compile(r"\b(MESSAGE|REPLY|RECORD)\(")
    while match := pattern.search(text, position):
        depth, start, arguments = 1, match.end(), []
        at = start
        while depth:
            character = text[at]
            depth += (character == "(") - (character == ")")
            if (character == "," and depth == 1) or depth == 0:
                arguments.append(text[start:at].strip())
                start = at + 1
            at += 1
        position = at
        yield match.group(1), arguments


FIELD = re.compile(r"(U64|I64|FLAG|TEXT|BYTES|SECRET|LIST)\((\w+)(?:,\s*(\w+))?(?:,\s*(\d+))?\)")
REQUEST, REPLY, RECORD, KIND, NAME = {}, {}, {}, {}, {}
for _macro, _arguments in _rows(_strip_comments((ROOT / "catalogue/messages.def").read_text())):
    _fields = [match.groups() for match in FIELD.finditer(_arguments[-1])]
    if _macro == "RECORD":
        RECORD[_arguments[0]] = _fields
        continue
    _kind = len(KIND) + 1
    KIND[("request" if _macro == "MESSAGE" else "reply", _arguments[0])] = _kind
    NAME[_kind] = ("request" if _macro == "MESSAGE" else "reply", _arguments[0])
    (REQUEST if _macro == "MESSAGE" else REPLY)[_arguments[0]] = _fields

PROCESSES = ["warden"] + re.findall(
    r"\bPROCESS\(\w+,\s*(\w+)", _strip_comments((ROOT / "catalogue/processes.def").read_text())) + ["cli"]
ERRORS = ["OK"] + re.findall(r"\bERROR\((\w+)", _strip_comments((ROOT / "catalogue/errors.def").read_text()))
EVENTS = [None] + re.findall(r"\bEVENT\((\w+)", _strip_comments((ROOT / "catalogue/events.def").read_text()))


def encode(fields, values):
    packet = b""
    for kind, name, record, _most in fields:
        value = values.get(name)
        if kind == "U64":
            packet += struct.pack("<Q", value or 0)
        elif kind == "I64":
            packet += struct.pack("<q", value or 0)
        elif kind == "FLAG":
            packet += bytes([1 if value else 0])
        else:
            if kind == "LIST":
                value = b"".join(encode(RECORD[record], row) for row in value or [])
            elif isinstance(value, str):
                value = value.encode()
            value = value or b""
            packet += struct.pack("<I", len(value)) + value
    return packet


def decode(fields, packet):
    values, at = _decode(fields, packet, 0)
    assert at == len(packet), "bytes left in a packet"
    return values


def _decode(fields, packet, at):
    values = {}
    for kind, name, record, _most in fields:
        if kind in ("U64", "I64"):
            values[name], at = struct.unpack_from("<Q" if kind == "U64" else "<q", packet, at)[0], at + 8
        elif kind == "FLAG":
            values[name], at = packet[at] == 1, at + 1
        else:
            length = struct.unpack_from("<I", packet, at)[0]
            value, at = packet[at + 4:at + 4 + length], at + 4 + length
            if kind == "TEXT":
                value = value.decode()
            elif kind == "LIST":
                rows, place = [], 0
                while place < len(value):
                    row, place = _decode(RECORD[record], value, place)
                    rows.append(row)
                value = rows
            values[name] = value
    return values, at


class Failed(Exception):
    """A `failed` answer; .code is a name of catalogue/errors.def."""

    def __init__(self, fields):
        self.code = ERRORS[fields["code"]]
        super().__init__(f"{self.code}: {fields['detail']}")


class Channel:
    def __init__(self, sock):
        self.socket, self.last = sock, 0
        sock.settimeout(20)

    def send(self, direction, name, values=None, call=0, fds=()):
        fields = (REQUEST if direction == "request" else REPLY)[name]
        packet = struct.pack("<IIQ", KIND[(direction, name)], 0, call) + encode(fields, values or {})
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([packet], ancillary)

    def receive(self):
        """((direction, name), call, fields); None at the end of the connection."""
        packet = self.socket.recv(262144)
        if not packet:
            return None
        kind, _zero, call = struct.unpack_from("<IIQ", packet)
        direction, name = NAME[kind]
        return (direction, name), call, decode((REQUEST if direction == "request" else REPLY)[name], packet[16:])

    def ask(self, name, values=None, serve=None):
        """Sends a request and waits for its answer; requests that come meanwhile go to `serve`."""
        self.last += 1
        call = self.last
        self.send("request", name, values, call)
        while True:
            received = self.receive()
            if received is None:
                raise ConnectionError("the process closed the connection")
            (direction, got), number, fields = received
            if direction == "request":
                serve(self, got, number, fields)
            elif number == call:
                if got == "failed":
                    raise Failed(fields)
                assert got == name, got
                return fields


class Process:
    """masugata-<name> alone: the test holds the other end of its warden channel and of its peers."""

    def __init__(self, build, name, directory, runtime, options, log, clock_s=0):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = str(pathlib.Path(build) / f"masugata-{name}")
        environment = {"TZ": "UTC", "LC_ALL": "C.UTF-8"}
        if clock_s:
            shift = pathlib.Path(directory) / "clock-shift"
            # Its readers map it: it is never cut short under them.
            with open(os.open(shift, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
                file.write(struct.pack("<q", clock_s))
            environment |= {"LD_PRELOAD": str(pathlib.Path(build) / "tests/support/clock-shift.so"),
                            "MASUGATA_CLOCK_SHIFT": str(shift)}
        # Descriptor 3 is the channel.
        self.child = subprocess.Popen(
            ["/bin/bash", "-c", f'exec 3<&{theirs.fileno()}; exec "$0"', program],
            pass_fds=[theirs.fileno()], stderr=log, env=environment)
        theirs.close()
        self.warden = Channel(ours)
        self.configured = self.warden.ask("configure", {
            "directory": str(directory), "runtime_directory": str(runtime),
            "options": [{"keyword": keyword, "value": value} for keyword, value in options.items()]})

    def attach(self, peer):
        """A channel on which the test is `peer`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.warden.send("request", "peer_attach", {"peer": PROCESSES.index(peer)}, 7, [theirs.fileno()])
        theirs.close()
        return Channel(ours)

    def stop(self, kill=False):
        self.child.kill() if kill else self.warden.socket.close()
        return self.child.wait(timeout=20)
