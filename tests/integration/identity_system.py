"""keys, audit, hasher and authority, really running and wired to each other, with a PostgreSQL of
their own; the test plays warden, worker, launcher and portal. What the pages ask can be asked here
directly and in parallel, and the clock of each answer is not nginx's.

    with IdentitySystem() as system:
        system.tenant_add("acme")
        system.user_add("acme", "aiko@acme.example", "a long enough password")
        answer = system.sign_in(1, "aiko@acme.example", "a long enough password")

Standard library only."""

import hashlib
import os
import pathlib
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import factors
from messages import PROCESSES, Channel, Failed, Process

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MASUGATA_BUILD", ROOT / "build"))
OUTCOMES = ["NONE"] + re.findall(r"^OUTCOME\((\w+)", (ROOT / "catalogue/outcomes.def").read_text(), re.M)
POSTGRES = pathlib.Path(subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip())

SIGN_IN_ORIGIN, APP_ORIGIN = 2, 1
SCOPE_ONE, SCOPE_OTHERS, SCOPE_OWN, SCOPE_USER, SCOPE_TENANT, SCOPE_FAMILY = 1, 2, 3, 4, 5, 6


class Peer:
    """One end of a socket pair: asks from any number of threads, serves what is asked of it."""

    def __init__(self, channel, serve=None):
        self.channel, self.serve = channel, serve or {}
        channel.socket.settimeout(None)
        self.lock, self.waiting, self.last = threading.Lock(), {}, 0
        threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self):
        while True:
            try:
                received = self.channel.receive()
            except OSError:
                received = None
            if received is None:
                for slot in list(self.waiting.values()):
                    slot.append(("closed", {}))
                return
            (direction, name), call, fields = received
            if direction == "reply":
                with self.lock:
                    slot = self.waiting.pop(call, None)
                if slot is not None:
                    slot.append((name, fields))
                    slot.arrived.set()
            else:
                threading.Thread(target=self._answer, args=(name, call, fields), daemon=True).start()

    def _answer(self, name, call, fields):
        answer = self.serve[name](fields)
        with self.lock:
            self.channel.send("reply", name, answer, call)

    def ask(self, name, values=None, seconds=60):
        slot = _Slot()
        with self.lock:
            self.last += 1
            self.waiting[self.last] = slot
            self.channel.send("request", name, values, self.last)
        assert slot.arrived.wait(seconds), f"{name}: no answer in {seconds} s"
        got, fields = slot[0]
        if got == "failed":
            raise Failed(fields)
        assert got == name, got
        return fields


class _Slot(list):
    def __init__(self):
        super().__init__()
        self.arrived = threading.Event()


class Database:
    """A PostgreSQL instance in a temporary directory, reached by its unix socket."""

    def __init__(self, directory):
        self.directory = directory
        self.as_root = os.geteuid() == 0
        self.run("initdb", "-D", str(directory / "data"), "-A", "trust", "-U", "masugata", "--no-sync")
        self.run("pg_ctl", "-D", str(directory / "data"), "-o",
                 f"-k {directory} -c listen_addresses= -c max_connections=60 -c wal_segment_size=1MB".replace(
                     " -c wal_segment_size=1MB", ""), "-l", str(directory / "log"), "-w", "start")
        for path in sorted((ROOT / "src/ports/migrations/control").glob("*.sql")):
            self.sql("-1", "-f", str(path))

    def run(self, program, *arguments):
        command = [str(POSTGRES / program), *arguments]
        if self.as_root:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def sql(self, *arguments):
        done = subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", str(self.directory), "-U", "masugata",
                               "-d", "postgres", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def query(self, text):
        return self.sql("-c", text)

    def stop(self):
        self.run("pg_ctl", "-D", str(self.directory / "data"), "-m", "immediate", "-w", "stop")


OPTION_DEFAULTS = {}
for _match in re.finditer(r'OPTION\(\w+,\s*"([^"]+)",\s*\w+,\s*"([^"]*)",\s*"[^"]*",\s*"[^"]*",\s*([A-Z|]+)',
                          re.sub(r"/\*.*?\*/", "", (ROOT / "catalogue/options.def").read_text(), flags=re.S)):
    OPTION_DEFAULTS[_match[1]] = (_match[2], _match[3].split("|"))


class IdentitySystem:
    def __init__(self, **options):
        self.options = {keyword.replace("__", "."): value for keyword, value in options.items()}

    def options_of(self, process):
        values = {keyword: preset for keyword, (preset, readers) in OPTION_DEFAULTS.items()
                  if process.upper() in readers or "ANY" in readers}
        values.update({keyword: value for keyword, value in self.options.items() if keyword in values})
        return values

    def __enter__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mgi", dir="/tmp"))
        self.directory.chmod(0o711)
        for name in ("keystore", "audit", "audit/log", "run", "run/admin", "run/gate", "run/gate/worker", "pg"):
            (self.directory / name).mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.directory / "pg", "postgres", "postgres")
        self.log = open(self.directory / "log", "ab")
        self.processes = {}
        try:
            self.database = Database(self.directory / "pg")
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        for process in reversed(list(self.processes.values())):
            process.stop(kill=True)
        if hasattr(self, "database"):
            self.database.stop()
        if os.environ.get("MASUGATA_TEST_KEEP"):
            print("kept", self.directory)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self):
        for name in ("keys", "audit", "hasher", "authority"):
            self.start_process(name)
        self.wire("keys", "audit")
        self.wire("keys", "authority")
        self.wire("audit", "authority")
        self.wire("hasher", "authority")
        self.attach_authority()

    def attach_authority(self):
        authority = self.processes["authority"]
        place = {"url": "", "host": str(self.directory / "pg"), "port": 5432, "database": "postgres", "user": "masugata",
                 "password": ""}
        self.worker = Peer(authority.attach("worker"), {
            "control_database": lambda fields: place,
            "tenant_provision": lambda fields: {"app_uid": 0, "credentials_path": "/none"}})
        self.launcher = Peer(authority.attach("launcher"), {"nginx_apply": lambda fields: {"changed": False}})
        self.portal = Peer(authority.attach("portal"))

    def start_process(self, name):
        self.processes[name] = Process(BUILD, name, self.directory, self.directory / "run", self.options_of(name), self.log)

    def wire(self, one, other):
        """A socket pair between two processes, as the warden makes them."""
        first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for name, peer, end in ((one, other, first), (other, one, second)):
            self.processes[name].warden.send("request", "peer_attach", {"peer": PROCESSES.index(peer)}, 7, [end.fileno()])
            end.close()

    def restart_authority(self, kill=True):
        self.processes["authority"].stop(kill=kill)
        self.start_process("authority")
        for name in ("keys", "audit", "hasher"):
            self.wire(name, "authority")
        self.attach_authority()

    def logs(self):
        return (self.directory / "log").read_text(errors="replace")

    # ---- as the operator ----

    def operate(self, name, values=None):
        """One request over the admin socket."""
        deadline = time.monotonic() + 30
        while True:
            try:
                channel = Channel(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                channel.socket.settimeout(60)
                channel.socket.connect(str(self.directory / "run/admin/admin.sock"))
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        try:
            return channel.ask(name, values)
        finally:
            channel.socket.close()

    def done(self, name, values=None):
        answer = self.operate(name, values)
        assert OUTCOMES[answer["outcome"]] == "GRANTED", (name, OUTCOMES[answer["outcome"]], answer)
        return answer

    def tenant_add(self, name):
        number = self.done("tenant_add", {"name": name, "label": name.title(), "hosts": f"{name}.localhost",
                                          "sign_in_host": f"id.{name}.localhost", "upstream": "127.0.0.1:1"})["tenant"]
        deadline = time.monotonic() + 30
        while self.portal.ask("site", {"tenant": number})["open"] is False:
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.02)
        return number

    def user_add(self, tenant, login, password="", **fields):
        return self.done("user_add", {"tenant": tenant, "login": login, "password": password, **fields})["user"]

    # ---- as the portal ----

    def sign_in(self, tenant, login, password, address="192.0.2.1", **fields):
        answer = self.portal.ask("sign_in", {"tenant": tenant, "login": login, "password": password, "address": address,
                                             "user_agent": "tests", **fields})
        answer["outcome"] = OUTCOMES[answer["outcome"]]
        return answer

    def ask(self, name, /, **values):
        answer = self.portal.ask(name, values)
        if "outcome" in answer:
            answer["outcome"] = OUTCOMES[answer["outcome"]]
        return answer

    def set_up(self, tenant, answer, login="", **fields):
        """Sets up a second factor with the ticket that sign_in gave; returns the app and the answer."""
        assert answer["outcome"] == "SECOND_FACTOR_SET_UP", answer
        begun = self.ask("factor_begin", tenant=tenant, ticket=answer["ticket"], address="192.0.2.1")
        app = factors.App(begun["secret"].decode())
        confirmed = self.ask("factor_confirm", tenant=tenant, ticket=answer["ticket"], code=app.code().encode(), name="app",
                             address="192.0.2.1", user_agent="tests", **fields)
        app.recovery = confirmed["recovery"].decode().split()
        return app, confirmed

    def sign_in_operator(self, login, password):
        """The session token of an operator; the second factor is set up the first time."""
        apps = self.__dict__.setdefault("apps", {})
        answer = self.sign_in(0, login, password)
        if login not in apps:
            apps[login], confirmed = self.set_up(0, answer)
            return confirmed["token"]
        assert answer["outcome"] == "SECOND_FACTOR", answer
        given = self.ask("second_give", tenant=0, ticket=answer["ticket"], code=apps[login].code().encode(), address="192.0.2.1",
                         user_agent="tests")
        assert given["outcome"] == "GRANTED", given
        return given["token"]

    def check(self, tenant, token, host):
        return self.ask("session_check", tenant=tenant, session=session_hash(token), host=host)["valid"]

    def enter(self, tenant, host, code, nonce):
        return self.ask("code_exchange", tenant=tenant, code=code, nonce=nonce, host=host, address="192.0.2.1",
                        user_agent="tests")


def sha256(value):
    return hashlib.sha256(value).digest()


def session_hash(token):
    """What is kept of a session's token: where to look, then the end of its SHA-256 (src/wire/session_table.h)."""
    return token[:8] + sha256(token)[8:]


def nonce():
    value = secrets.token_bytes(32)
    return value, sha256(value)
