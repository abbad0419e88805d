"""The pages of reports.

In: runs and results as `edgequake.report.recording` and `edgequake.results.reader` read them; the templates.
Out: HTML and Markdown as text. Read `run_page` for runs, `bench_page` for measurements.
"""
