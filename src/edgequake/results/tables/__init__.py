"""Tables of results, each built once and rendered as plain text, Markdown or HTML.

In: the report dataclasses of `edgequake.results`.
Out: `table.Table`s for `edgequake.report`, and the text that the commands print (`report_text`). Read `table` first.
"""
