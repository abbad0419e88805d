"""The subcommands of `edgequake`.

In: options and arguments of the command line. Each command parses them, calls one function, prints the result, and
sets the exit code. Out: text or JSON on stdout, files of results, progress on stderr.
Read `app` first: it lists the commands. Each module imports the package behind a command inside the command, so that
`edgequake run` never loads TensorFlow and `edgequake --help` loads nothing.
"""
