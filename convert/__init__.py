"""From a Keras network to one-step TFLite graphs and their manifest: `convert_model` does the whole of it.

Importing this package loads no TensorFlow: only the worker process that `convert_model` starts does.
"""

from edgequake.convert.converter import convert_model
from edgequake.convert.report import ConversionReport, GateError, VariantReport

__all__ = ["ConversionReport", "GateError", "VariantReport", "convert_model"]
