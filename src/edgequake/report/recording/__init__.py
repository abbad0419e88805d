"""What a report shows of a run beyond its folder: the samples of its records, and the network's probabilities.

In: the folder of a finished run, the records and the model that it names.
Out: a `RecordedRun`, with traces and probabilities. Read `recorded_run` first.
"""
