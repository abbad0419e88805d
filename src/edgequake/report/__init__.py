"""Reports: a run or measurements as one HTML page that needs nothing else, measurements also as Markdown.

In: the folder of a finished run with its records and model, or JSON files that `edgequake bench` wrote.
Out: pages; `recording` reads the run, `charts` draws, `pages` assembles. Read `pages/run_page` first.
"""
