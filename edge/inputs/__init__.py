"""Sources of samples: in come files, a folder, standard input or datagrams, out come batches of traces by station.

Start with `source`, which says what a source promises; `files` serves recorded data, `live` all that arrives.
"""
