"""Models, environments and a synthetic day come in; time, memory, size and an estimate of the energy go out.

Read `environments` first: where is measured, always in other processes. `latency_runs`, `footprint` and `energy` are
the benchmarks; the modules `*_process` are run by them.
"""
