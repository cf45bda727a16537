"""Models and the runtime as sources and objects for a device: `demitasse embed` and `pack`."""
