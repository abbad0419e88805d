"""Convert the step model to TFLite variants: float32, dynamic, int8 and int16x8.

In: a `StepGraph` and the inputs of calibration steps. Out: a `TfliteFile` per variant: the graph's bytes, its minimum
runtime and the integer form of its inputs and outputs. Read `quantize.py` first.

Why quantized graphs are edited after TensorFlow has made them (`int16_cells`, `scales`, `tflite_file`): an int8 graph
must give the same bits in every runtime, and later in the C export of the same graph, so that results on a lander can
be reproduced on the ground. TensorFlow's own int8 LSTM loses most of its cell state to rounding, and its int16x8 graphs
differ between runtimes. With int16 cells whose sums have power-of-two scales, and 8-bit matrix products, tflite-runtime
and ai-edge-litert agree bit for bit, at the accuracy of int16x8.
"""
