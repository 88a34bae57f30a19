"""Password sign-in against one argon2id hash with the same parameters, alternating in one run.

Sign-in is measured where the portal asks for it (the row sign_in): both counters in one statement, the
account, unsealing, the hash, the facts for adaptive sign-in, a durable audit record, a durable session, the shared table. The peer
is a plain libargon2 call. Budget: 1.10 x (DESIGN.md section 11).

The time by the clock depends on the disk (two or three fdatasyncs) and on what else the machine does;
the CPU that all processes of ours and PostgreSQL used for a sign-in does much less."""

import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from identity_system import BUILD, IdentitySystem  # noqa: E402

PAIRS = int(sys.argv[1]) if len(sys.argv) > 1 else 200
PASSWORD = "lanterns drift upstream"


def cpu_ms(pids):
    """CPU that these processes have used, all threads together."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass
    return total / 1e6


def processes(system):
    """keys, audit, hasher, authority, and PostgreSQL with its children."""
    postmaster = int((system.directory / "pg/data/postmaster.pid").read_text().split()[0])
    children = subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True).stdout.split()
    return [process.child.pid for process in system.processes.values()] + [postmaster] + [int(pid) for pid in children]


def main():
    program = BUILD / "tests/bench/bench-hash-once"
    with IdentitySystem() as system, subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        tenant = system.tenant_add("acme")
        system.user_add("acme", "aiko@acme.example", PASSWORD)
        hashes, sign_ins, hash_cpu = [], [], []
        device = b""  # a browser keeps its device cookie
        for pair in range(-10, PAIRS):  # the first ten warm up
            peer.stdin.write("\n")
            peer.stdin.flush()
            hash_ms, hash_cpu_ms = map(float, peer.stdout.readline().split())
            if pair == 0:
                pids = processes(system)
                cpu_before = cpu_ms(pids)
            started = time.monotonic()
            answer = system.sign_in(tenant, "aiko@acme.example", PASSWORD, device=device)
            sign_in_ms = (time.monotonic() - started) * 1000
            assert answer["outcome"] == "GRANTED", answer
            device = answer["device"]
            if pair >= 0:
                hashes.append(hash_ms)
                sign_ins.append(sign_in_ms)
                hash_cpu.append(hash_cpu_ms)
        sign_in_cpu = (cpu_ms(pids) - cpu_before) / PAIRS
        peer.stdin.close()
    ratios = [sign_in / hash_ms for sign_in, hash_ms in zip(sign_ins, hashes)]
    print(f"{PAIRS} pairs, alternating; medians (quartiles)")
    for name, values, unit in (("one argon2id hash", hashes, "ms"), ("sign-in", sign_ins, "ms"), ("ratio of pairs", ratios, "x")):
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:18} {middle:7.3f} {unit}  ({low:.3f} to {high:.3f})")
    mean = statistics.mean(hash_cpu)
    print(f"CPU: a hash {mean:.3f} ms, a sign-in {sign_in_cpu:.3f} ms in all processes: {sign_in_cpu / mean:.3f} x")


if __name__ == "__main__":
    main()
