"""Services that every other folder uses: errors, diagnostics, checkpoints, durable files, names in a run folder.

Nothing here knows of waveforms. Start with `checkpoint`, whose `Stateful` every streaming class of the runner follows.
"""
