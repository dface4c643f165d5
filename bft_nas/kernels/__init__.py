"""The kernels in C and their binding: butterflies, depthwise convolutions, batch norm; see README.md."""
