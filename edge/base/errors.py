"""The errors that users see. A message says what is wrong, what was expected, what was found and what to do."""


class EdgequakeError(Exception):
    """Base class: a command prints the message as one line on stderr and exits with code 1."""


class DataError(EdgequakeError):
    """Input records, labels or output files that cannot be read, used or written."""


class ManifestError(EdgequakeError):
    """A manifest that is missing, malformed, of another version, or does not fit its graph."""


class ModelError(EdgequakeError):
    """A graph that cannot be loaded, converted or invoked."""


class ConfigError(EdgequakeError):
    """Options, or a recipe, that contradict each other or name something unknown."""


class GateError(EdgequakeError):
    """A figure worse than its stated limit; the command exits with code 3."""


class Stopped(EdgequakeError):
    """A run that was stopped before the end of its input; it can be resumed from its checkpoint."""
