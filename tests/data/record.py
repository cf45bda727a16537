"""Record what real Caffe answers to the nets of this folder.

    python3.9 -m venv oracle
    oracle/bin/pip install kendryte-caffe "numpy<2" "protobuf<4"
    oracle/bin/python tests/data/record.py [CASE ...]

`kendryte-caffe` is BVLC Caffe (plus Permute) as a wheel for Python 3.6 to 3.9. For every
`CASE.prototxt` this writes `CASE.caffemodel` (or `.caffemodel.h5`) with seeded random weights and
`CASE.npz` with the inputs and every layer's blobs; README.md has the format. The digits network
lives in examples/digits and only its answers are written here. Nothing of Demitasse is imported,
so a mistake of ours cannot enter the expected values.
"""
# ruff: noqa: B905  (Python 3.9 knows no zip(strict=))

import os
import struct
import sys
import zlib
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import caffe
import numpy as np
from caffe.proto import caffe_pb2

HERE = Path(__file__).parent
DIGITS = HERE.parent.parent / "examples" / "digits"

# Layers whose blobs are left out of the file: Caffe's filler is the weight. None: all layers.
FILLED = {"deconv_bilinear": None, "prelu_filler": None, "fcn_head": {"upscore"}}
# BatchNorm's third blob divides the other two; training ends near 1 / (1 - 0.999).
FACTORS = {"factor_0": 0.0, "factor_1": 1.0, "conv2/bn": 1.0}
USUAL_FACTOR = 999.982
DECLARED_SPLITS = {"out", "twins"}  # written in a prototxt; Caffe's own Splits are not recorded
FORKS_ONLY = {"batch_norm_shapes", "half_weights"}  # files that BVLC Caffe refuses


def fill(net, rng):
    """Random weights in every blob that has no meaning of its own yet."""
    kinds = {name: layer.type for name, layer in zip(net._layer_names, net.layers)}
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            blob.data[...] = values(kinds[name], name, index, blob.data, rng)
        if kinds[name] == "BatchNorm":
            blobs[0].data[...] *= blobs[2].data[0]
            blobs[1].data[...] *= blobs[2].data[0]


def values(kind, name, index, old, rng):
    normal = rng.standard_normal(old.shape)
    if kind == "BatchNorm":
        factor = FACTORS.get(name, USUAL_FACTOR)
        return (0.7 * normal, rng.uniform(0.2, 3, old.shape), factor)[index]
    if kind == "Scale":
        return 1 + 0.4 * normal if index == 0 else 0.5 * normal
    if kind == "PReLU":
        return rng.uniform(-0.2, 0.6, old.shape)
    if index == 0 and old.ndim > 1:
        fan_in = old.size / old.shape[0]
        return normal * np.sqrt(2 / fan_in)
    return 0.5 * normal


def v1_file(net):
    """The V1 container: enum types, and blobs with num, channels, height, width."""
    old = caffe_pb2.NetParameter(name=net.name)
    numbers = dict(caffe_pb2.V1LayerParameter.LayerType.items())
    for layer in net.layer:
        spelling = {"InnerProduct": "INNER_PRODUCT"}.get(layer.type, layer.type.upper())
        if spelling not in numbers:
            continue
        v1 = old.layers.add(name=layer.name, type=numbers[spelling])
        v1.bottom.extend(layer.bottom)
        v1.top.extend(layer.top)
        v1.blobs.extend(legacy(blob) for blob in layer.blobs)
    return old.SerializeToString()


def v0_file(net):
    """The V0 container: a layer inside each layer, with lower-case types."""
    old = caffe_pb2.NetParameter(name=net.name)
    for layer in net.layer:
        kind = {"Convolution": "conv", "InnerProduct": "innerproduct"}.get(layer.type)
        if kind:
            v0 = old.layers.add(top=layer.top).layer
            v0.name, v0.type = layer.name, kind
            v0.blobs.extend(legacy(blob) for blob in layer.blobs)
    return old.SerializeToString()


def legacy(blob):
    dims = [1] * (4 - len(blob.shape.dim)) + list(blob.shape.dim)
    num, channels, height, width = dims
    return caffe_pb2.BlobProto(
        num=num, channels=channels, height=height, width=width, data=blob.data
    )


def column_file(net):
    """Statistics and factors saved as 1xCx1x1."""
    for layer in net.layer:
        for blob in layer.blobs:
            shape = dict(num=1, channels=len(blob.data), height=1, width=1)
            blob.CopyFrom(caffe_pb2.BlobProto(data=blob.data, **shape))
    return net.SerializeToString()


def double_file(net):
    for layer in net.layer:
        for blob in layer.blobs:
            blob.double_data.extend(blob.data)
            del blob.data[:]
    return net.SerializeToString()


def half_file(net):
    """NVIDIA's raw fields (type 2 is half); the last blob stays as ordinary floats."""
    blobs = [blob for layer in net.layer for blob in layer.blobs][:-1]
    raw = {id(b): np.asarray(b.data, "<f2").tobytes() for b in blobs}
    return by_hand(net, lambda b: varint(10, 2) + nested(12, raw[id(b)]) if id(b) in raw else None)


def unpacked_file(net):
    """Every float with a tag of its own, then a diff of the same length."""

    def payload(blob):
        floats = b"".join(b"\x2d" + struct.pack("<f", value) for value in blob.data)
        return floats + nested(6, bytes(4 * len(blob.data)))

    return by_hand(net, payload)


def by_hand(net, payload):
    """Serialise with each blob's data replaced by `payload(blob)`; None keeps the message."""
    out = nested(1, net.name.encode())
    for layer in net.layer:
        body = nested(1, layer.name.encode()) + nested(2, layer.type.encode())
        for blob in layer.blobs:
            data = payload(blob)
            shape = nested(7, blob.shape.SerializeToString())
            body += nested(7, blob.SerializeToString() if data is None else shape + data)
        out += nested(100, body)
    return out


def number(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def varint(field, value):
    return number(field << 3) + number(value)


def nested(field, body):
    return number(field << 3 | 2) + number(len(body)) + body


def extra_file(net):
    """As saved from training: data, loss and forgotten layers around ours, Splits between."""
    saved = caffe_pb2.NetParameter(name="another name")
    saved.layer.add(name="train_data", type="Data", top=["data", "label"]).data_param.batch_size = 8
    saved.layer.extend(net.layer)
    saved.layer.add(name="fc_fc_0_split", type="Split", bottom=["fc"], top=["a", "b"])
    old = saved.layer.add(name="old_head", type="InnerProduct", bottom=["pool1"], top=["old"])
    old.blobs.add(shape=caffe_pb2.BlobShape(dim=[2, 3]), data=range(6))
    saved.layer.add(name="loss", type="SoftmaxWithLoss", bottom=["fc", "label"], top=["loss"])
    return saved.SerializeToString()


FILES = {
    "batch_norm_shapes": column_file,
    "double_weights": double_file,
    "extra_layers": extra_file,
    "half_weights": half_file,
    "unpacked_weights": unpacked_file,
    "v0": v0_file,
    "v1": v1_file,
    "v2_text_v1_weights": v1_file,
}


def weights(case, net):
    """Write the case's weight file; its path, or None where fillers are all there is."""
    if FILLED.get(case, ()) is None:
        return None
    if case == "hdf5_weights":
        path = HERE / f"{case}.caffemodel.h5"
        net.save_hdf5(str(path))
        return path
    if not net.params:
        return None
    path = HERE / f"{case}.caffemodel"
    net.save(str(path))
    saved = caffe_pb2.NetParameter.FromString(path.read_bytes())
    for layer in saved.layer:
        if layer.name in FILLED.get(case, ()):
            del layer.blobs[:]
    path.write_bytes(FILES.get(case, caffe_pb2.NetParameter.SerializeToString)(saved))
    return path


def record(net, path, inputs):
    """Run layer by layer and keep each top's value right after its layer, and the last of what
    later layers make of it through a memory that it shares with their tops."""
    arrays = {f"input:{name}": value for name, value in inputs.items()}
    for name, value in inputs.items():
        net.blobs[name].reshape(*value.shape)
        net.blobs[name].data[...] = value
    net.reshape()
    seen, rewritten = {}, {}
    for index, (name, layer) in enumerate(zip(net._layer_names, net.layers)):
        net._forward(index, index)
        for top, value in seen.items():
            if not np.array_equal(value, net.blobs[top].data, equal_nan=True):
                seen[top] = net.blobs[top].data.copy()
                rewritten[top] = name
        if layer.type in ("Input", "Split") and name not in DECLARED_SPLITS:
            continue
        for top in net._top_ids(index):
            top = net._blob_names[top]
            key = f"{top}@{name}"
            assert key not in arrays, f"{path.name}: {key} twice"
            arrays[key] = seen[top] = net.blobs[top].data.copy()
            rewritten.pop(top, None)
            assert np.abs(arrays[key]).max() < 1e6, f"{path.name}: {key}: empty window?"
            assert arrays[key].any(), f"{path.name}: {key} is all zero and checks nothing"
    arrays.update((f"{top}@{name}", seen[top]) for top, name in rewritten.items())
    np.savez_compressed(path, **arrays)
    return len(arrays) - len(inputs)


def record_case(case):
    rng = np.random.default_rng(zlib.crc32(case.encode()))
    text = str(HERE / f"{case}.prototxt")
    net = caffe.Net(text, caffe.TEST)
    if FILLED.get(case, ()) is not None:
        fill(net, rng)
    if case == "half_weights":
        for blob in [b for blobs in net.params.values() for b in blobs][:-1]:
            blob.data[...] = blob.data.astype(np.float16)
    path = weights(case, net)
    if path and case in FILLED:
        fillers = caffe.Net(text, caffe.TEST)
        for name in FILLED[case]:
            for mine, filled in zip(net.params[name], fillers.params[name]):
                mine.data[...] = filled.data
    elif path and case not in FORKS_ONLY:
        net = caffe.Net(text, str(path), caffe.TEST)
    shapes = {name: net.blobs[name].data.shape for name in net.inputs}
    inputs = {n: (2 * rng.standard_normal(s)).astype(np.float32) for n, s in shapes.items()}
    return record(net, HERE / f"{case}.npz", inputs)


def record_digits():
    """Three held-out digits through the trained example."""
    images = np.load(DIGITS / "digits.npz")["images"][:3].transpose(0, 3, 1, 2)
    net = caffe.Net(str(DIGITS / "deploy.prototxt"), str(DIGITS / "digits.caffemodel"), caffe.TEST)
    inputs = {"data": images.astype(np.float32) * np.float32(0.00390625)}
    return record(net, HERE / "digits.npz", inputs)


def main():
    names = sys.argv[1:] or [*sorted(path.stem for path in HERE.glob("*.prototxt")), "digits"]
    for case in names:
        count = record_digits() if case == "digits" else record_case(case)
        print(f"{case}: {count} blobs")


if __name__ == "__main__":
    main()
