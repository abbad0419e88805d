"""Read finished TFLite graphs without TensorFlow.

In: the bytes of a .tflite file. Out: tensors, operators, an `Inspection` of size, work and memory, the oldest runtime
that runs the graph, and the report of a conversion. Read `tflite_reader.py` first.
"""
