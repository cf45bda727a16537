"""Regenerate `caffe.desc` from `caffe.proto` (needs grpcio-tools): `make protos`."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def compile_descriptors(target: Path) -> None:
    """Write the descriptor set of `caffe.proto` to `target`. Raises RuntimeError on failure."""
    from grpc_tools import protoc

    status = protoc.main(
        ["protoc", f"--proto_path={FOLDER}", f"--descriptor_set_out={target}", "caffe.proto"]
    )
    if status != 0:
        raise RuntimeError(f"protoc failed with status {status}")


if __name__ == "__main__":
    compile_descriptors(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER / "caffe.desc")
