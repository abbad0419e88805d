"""Models and records come in; how well detectors find events, what they cost and what a run survives goes out.

Packages in the order of imports: `scoring`, `detectors`, then `accuracy`, `tuning`, `downlink` and `cost`; `robustness`
stands alone. Read `scoring.scoring` first. Reports are the dataclasses of `edgequake.results`.
"""
