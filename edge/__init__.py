"""Everything that flies: standard library, numpy, a TFLite runtime and pymseed, nothing else."""
