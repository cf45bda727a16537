"""Images and blobs to calibrate and to judge with, loaded one sample at a time.

`open_dataset` tells the kinds apart; a new kind is a `Source` and a line there.
"""

from demitasse.quantizer.datasets.dataset import Dataset, Sample, Source
from demitasse.quantizer.datasets.opening import DataSpec, open_dataset

__all__ = ["DataSpec", "Dataset", "Sample", "Source", "open_dataset"]
