"""Read Keras files of ten years into networks of stock Keras 3 layers, without running any code that a file holds.

In: a .keras, .h5 or .hdf5 file. Out: a `keras.Model`. Read `keras_file.py` first, which needs no TensorFlow.
"""
