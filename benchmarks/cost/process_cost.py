"""Run a command and print its cost as JSON: `python -m edgequake.benchmarks.cost.process_cost COMMAND...`.

This small process stands between the benchmark and the command because Linux counts the memory of the parent into the
peak of a new process: started from a benchmark with obspy loaded, every command would seem to need what the benchmark
needs. `os.wait4` gives the figures of this command alone; those of `resource.RUSAGE_CHILDREN` would be the largest of
all commands so far.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def main() -> int:
    """Run the command of the arguments and return its exit code; its output is printed with its cost."""
    begun = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout.read()  # before waiting: a full pipe would block it
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    cost = {
        "wall_s": wall_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_rss_bytes": usage.ru_maxrss * RSS_UNIT_BYTES,
        "output": output.decode(errors="replace"),
    }
    print(json.dumps(cost))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
