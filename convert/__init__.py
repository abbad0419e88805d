"""Convert a Keras network to streaming TFLite graphs with external state, and write the manifest that describes them.

In: NAME.keras and its train.json (or a TOML description), and records or feature rows to calibrate on. Out: NAME.json
and NAME.VARIANT.tflite. Read `converter.py` first. Only the worker process, which `converter` starts, loads TensorFlow.
"""
