"""Password sign-in against one argon2id hash with the same parameters, alternating in one run.

Sign-in is measured where the portal asks for it (the row sign_in): both counters in one statement, the
account, unsealing, the hash, the facts for adaptive sign-in, a durable audit record, a durable session, the shared table. The peer
is a plain libargon2 call, as any application makes it. Budget: 1.10 x (DESIGN.md section 11). The hasher makes the same hash
sooner (src/ports/password_hash.c); its own is measured in the same turns, so that it stays in sight what a sign-in adds to that.

The time by the clock depends on the disk (two or three fdatasyncs) and on what else the machine does;
the CPU that all processes of ours and PostgreSQL used for a sign-in does much less.

Then the same with every core at work: many people at once beside as many hashes as there are cores, in turns. What a
sign-in costs there is what a core can do in a second; waits and wake-ups are shared."""

import os
import pathlib
import statistics
import subprocess
import sys
import threading
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


PEOPLE, ROUNDS, ROUND_S = 12, 8, 3


def together(count, work):
    """How often `work(number)` was done in a round by so many at once."""
    done, end = [0] * count, time.monotonic() + ROUND_S

    def run(number):
        while time.monotonic() < end:
            work(number)
            done[number] += 1
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)


def saturated(system, tenant, program):
    """CPU of a sign-in over CPU of a hash, each with every core busy."""
    peers = [subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
             for _ in range(os.cpu_count())]
    devices, hash_cpu, ratios, rates = [b""] * PEOPLE, [], [], []
    for number in range(PEOPLE):
        system.user_add("acme", f"person{number}@acme.example", PASSWORD)

    def hash_once(number):
        hash_cpu.append(list(one_hash(peers[number]))[1])

    def sign_in(number):
        answer = system.sign_in(tenant, f"person{number}@acme.example", PASSWORD, device=devices[number],
                                address=f"192.0.2.{number + 10}")
        assert answer["outcome"] == "GRANTED", answer
        devices[number] = answer["device"]

    for turn in range(-1, ROUNDS):  # the first warms up
        hash_cpu.clear()
        together(len(peers), hash_once)
        pids = processes(system)
        before = cpu_ms(pids)
        count = together(PEOPLE, sign_in)
        each = (cpu_ms(pids) - before) / count
        if turn >= 0:
            ratios.append(each / statistics.mean(hash_cpu))
            rates.append(1000 / each)
    for peer in peers:
        peer.stdin.close()
        peer.wait()
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"every core at work, {PEOPLE} people: a sign-in takes {middle:.3f} x ({low:.3f} to {high:.3f}) the CPU of a hash; "
          f"{statistics.median(rates):.1f} sign-ins a second and core")


def one_hash(program):
    """Its milliseconds by the clock and of CPU."""
    program.stdin.write("\n")
    program.stdin.flush()
    return map(float, program.stdout.readline().split())


def main():
    program = BUILD / "tests/bench/bench-hash-once"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with IdentitySystem() as system, subprocess.Popen([program], **pipes) as peer, subprocess.Popen([program, "ours"], **pipes) as own:
        tenant = system.tenant_add("acme")
        system.user_add("acme", "aiko@acme.example", PASSWORD)
        hashes, own_hashes, sign_ins, hash_cpu, own_cpu = [], [], [], [], []
        device = b""  # a browser keeps its device cookie
        for pair in range(-10, PAIRS):  # the first ten warm up
            hash_ms, hash_cpu_ms = one_hash(peer)
            own_ms, own_cpu_ms = one_hash(own)
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
                own_hashes.append(own_ms)
                own_cpu.append(own_cpu_ms)
        sign_in_cpu = (cpu_ms(pids) - cpu_before) / PAIRS
        peer.stdin.close()
        own.stdin.close()
        saturated(system, tenant, program)
    ratios = [sign_in / hash_ms for sign_in, hash_ms in zip(sign_ins, hashes)]
    own_ratios = [sign_in / hash_ms for sign_in, hash_ms in zip(sign_ins, own_hashes)]
    print(f"{PAIRS} pairs, alternating; medians (quartiles)")
    for name, values, unit in (("one hash, libargon2", hashes, "ms"), ("the hasher's", own_hashes, "ms"), ("sign-in", sign_ins, "ms"),
                               ("of libargon2's hash", ratios, "x"), ("of the hasher's", own_ratios, "x")):
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:20} {middle:7.3f} {unit}  ({low:.3f} to {high:.3f})")
    mean, own_mean = statistics.mean(hash_cpu), statistics.mean(own_cpu)
    print(f"CPU: a hash {mean:.3f} ms, the hasher's {own_mean:.3f} ms, a sign-in {sign_in_cpu:.3f} ms in all processes: "
          f"{sign_in_cpu / mean:.3f} x, {sign_in_cpu / own_mean:.3f} x; budget 1.10 of libargon2's: "
          f"{'met' if statistics.median(ratios) <= 1.1 else 'NOT MET'}")


if __name__ == "__main__":
    main()
