"""The errors that users meet: each message says what is wrong, what was expected, what came and what to do."""


class EdgequakeError(Exception):
    """Root of every error that a command turns into one line on stderr and exit code 1."""


class DataError(EdgequakeError):
    """Input records, labels or outputs that cannot be read, used or written."""


class ManifestError(EdgequakeError):
    """A manifest that is missing, malformed, of another version, or does not fit its graph."""


class ModelError(EdgequakeError):
    """A graph that cannot be loaded, converted or invoked."""


class ConfigError(EdgequakeError):
    """Options or a recipe that contradict themselves or name something unknown."""


class GateError(EdgequakeError):
    """A figure that is worse than its stated limit; the commands exit with code 3."""


class Stopped(EdgequakeError):
    """A run that was asked to stop before the end of its input; it can go on from its checkpoint."""
