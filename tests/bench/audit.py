"""The audit log: durable records a second and how long an acknowledgement takes, through a real sender process over
its socket, entries of 600 bytes and more, signed by masugata-keys; then how fast `masugata audit verify` reads them.

Budgets: at least 50,000 records/s with p99 at most 20 ms on this machine's disk; verify at least 1,000,000/s.
Beside it the disk's own fdatasync of 4 KiB: each group waits for two of them, while the next one waits for its first.
On a crowded machine `chrt -r 5` gives it the processors; what others do to the disk stays."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("MASUGATA_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
RECORDS = int(os.environ.get("MASUGATA_BENCH_RECORDS", "500000"))
ROUNDS = int(os.environ.get("MASUGATA_BENCH_ROUNDS", "3"))
IN_FLIGHT = os.environ.get("MASUGATA_BENCH_IN_FLIGHT", "512")


def flush_ms(directory):
    """Median and 99th percentile of writing 4 KiB over written blocks and fdatasync."""
    path, taken = pathlib.Path(directory) / "flush", []
    path.write_bytes(bytes(1 << 20))
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    for number in range(300):
        begin = time.perf_counter()
        os.pwrite(fd, bytes([number % 256]) * 4096, number % 256 * 4096)
        os.fdatasync(fd)
        taken.append((time.perf_counter() - begin) * 1000)
    os.close(fd)
    path.unlink()
    taken.sort()
    return taken[len(taken) // 2], taken[len(taken) * 99 // 100]


def verify_per_second(directory):
    """The faster of two readings: the first may wait for the disk."""
    best = 0
    for _ in range(2):
        begin = time.perf_counter()
        run = subprocess.run([BUILD / "masugata", "audit", "verify", "--json", "--log", directory / "audit/log", "--key",
                              directory / "audit/log.vkey"], stdout=subprocess.PIPE, check=True)
        report = json.loads(run.stdout)
        assert report["ok"], report
        best = max(best, report["entries_checked"] / (time.perf_counter() - begin))
    return best


def one_round(parent, directories):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mg-bench-", dir=parent))
    directories.append(directory)
    run = subprocess.run([BUILD / "tests/bench/bench-audit", BUILD, directory, str(RECORDS), IN_FLIGHT],
                         stdout=subprocess.PIPE, check=True)
    rows = {row["measurement"]: row for row in map(json.loads, run.stdout.decode().splitlines())}
    sizes = [path.stat().st_size for path in (directory / "audit/log/tile/entries").rglob("[0-9][0-9][0-9]")]
    rows["bytes"] = statistics.mean(sizes) / 256 - 2
    rows["verify"] = verify_per_second(directory)
    rows["flush"] = flush_ms(directory)
    return rows


def table(name, parent):
    # Removed together at the end: ext4 does not use the inode of a removed file again for some time, and looks
    # past each of them for every new one, so that a round would pay for the cleaning after the one before.
    directories = []
    try:
        rounds = [one_round(parent, directories) for _ in range(ROUNDS)]
    finally:
        for directory in directories:
            shutil.rmtree(directory)

    def median(pick):
        return statistics.median(pick(rows) for rows in rounds)

    print(f"{name}: {ROUNDS} rounds of {RECORDS} records, {IN_FLIGHT} in flight, "
          f"{median(lambda r: r['bytes']):.0f} bytes an entry; medians")
    for what, title in (("group commit", "group commit"), ("one at a time", "one at a time")):
        print(f"  {title:14} {median(lambda r: r[what]['per_second']):9.0f}/s   acknowledged p50 "
              f"{median(lambda r: r[what]['p50_ms']):.2f} ms, p99 {median(lambda r: r[what]['p99_ms']):.2f} ms, "
              f"most {median(lambda r: r[what]['most_ms']):.1f} ms")
    print(f"  {'verify':14} {median(lambda r: r['verify']):9.0f}/s")
    print(f"  {'CPU a record':14} sender {median(lambda r: r['CPU a record']['sender_us']):.1f} us, audit and keys "
          f"{median(lambda r: r['CPU a record']['audit_and_keys_us']):.1f} us")
    print(f"  {'fdatasync':14} p50 {median(lambda r: r['flush'][0]):.2f} ms, p99 {median(lambda r: r['flush'][1]):.2f} ms "
          "(4 KiB, the disk alone)")


if __name__ == "__main__":
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    table("disk", tempfile.gettempdir())
    table("memory (tmpfs)", "/dev/shm")
