"""A record or a synthetic signal comes in; what power loss, damage, months and a bad network do to a run goes out.

Read `fault_reports` first: the benchmarks, each against its limits. The other modules do the damage and measure it.
"""
