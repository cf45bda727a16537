"""float32 islands: the defined bits, against scalar float32 arithmetic and against NumPy."""

import numpy as np
import pytest

from demitasse.converter import ops
from demitasse.quantizer.float_reference import RUNNERS, exp, log, run_float

F = np.float32
rng = np.random.default_rng(11)
IMAGE = rng.normal(0, 2, (1, 5, 6, 7)).astype(np.float32)


def scalar_exp(x: np.float32) -> np.float32:
    """FORMAT.md's exp, one scalar operation after the other."""
    x = min(max(x, F(-87)), F(88))
    n = F(np.floor(F(x * F(1.44269504)) + F(0.5)))
    r = F(F(x - F(n * F(0.693359375))) - F(n * F(-2.12194440e-4)))
    c3, c4, c5, c6 = F(1 / 6), F(1 / 24), F(1 / 120), F(1 / 720)
    inner = c3 + r * (c4 + r * (c5 + r * c6))
    p = F(1) + r * (F(1) + r * (F(0.5) + r * inner))
    bits = np.uint32((int(n) + 127) << 23)
    return p * bits.view(np.float32)


def test_exp_has_the_defined_bits() -> None:
    x = np.concatenate([rng.uniform(-90, 90, 500), [-87, 88, 0, -0.0, 1e-30, -1e30]])
    x = x.astype(np.float32)
    np.testing.assert_array_equal(exp(x), [scalar_exp(v) for v in x])


def test_exp_is_accurate() -> None:
    x = np.linspace(-86.9, 87.9, 100_001, dtype=np.float32)
    np.testing.assert_allclose(exp(x), np.exp(x.astype(np.float64)), rtol=6e-7)


def test_log_is_accurate() -> None:
    x = np.exp(np.linspace(-87, 88, 100_001)).astype(np.float32)
    np.testing.assert_allclose(log(x), np.log(x.astype(np.float64)), rtol=2e-7, atol=6e-8)
    assert log(F(1)) == 0
    assert log(np.array([0, -1, np.nan], np.float32)).tolist() == [-88] * 3


def test_softmax_sums_in_order() -> None:
    x = rng.normal(0, 4, (2, 37)).astype(np.float32)
    found = run_float(ops.Softmax(1), [x], {})
    for row, got in zip(x, found, strict=True):
        e = [scalar_exp(F(v - row.max())) for v in row]
        total = F(0)
        for v in e:
            total = F(total + v)
        assert got.tolist() == [F(v / total) for v in e]


def test_average_pooling_sums_in_row_order() -> None:
    op = ops.Pool2d("average", (3, 2), (2, 2), (1, 0))
    found = run_float(op, [IMAGE], {})
    total = F(0)
    for row in (0, 1):  # the window's first row is padding
        for column in (2, 3):
            total = F(total + IMAGE[0, 4, row, column])
    assert found[0, 4, 0, 1] == F(total / F(6))


def test_a_sum_runs_from_left_to_right() -> None:
    a, b, c = (rng.normal(0, 10.0**p, (1, 50)).astype(np.float32) for p in (0, 3, 5))
    found = run_float(ops.Eltwise("sum", (0.3, -1, 7)), [a, b, c], {})
    expected = [
        F(F(F(F(0.3) * x) + F(F(-1) * y)) + F(F(7) * z))
        for x, y, z in zip(a[0], b[0], c[0], strict=True)
    ]
    assert found[0].tolist() == expected


EMBEDDED = (("table", (4, 3)), ("bias", (3,)))
CASES = {
    "relu": (ops.Relu(), {}),
    "leaky": (ops.Relu(0.1), {}),
    "clip": (ops.Clip(-1.0, 2.0), {}),
    "elu": (ops.Elu(0.7), {}),
    "sigmoid": (ops.Sigmoid(), {}),
    "tanh": (ops.Tanh(), {}),
    "abs": (ops.Abs(), {}),
    "power": (ops.Power(1.0, 2.0, -3.0), {}),
    "square": (ops.Power(2.0, 2.0, -3.0), {}),
    "root": (ops.Power(0.5, 0.01, 3.0), {}),
    "fraction": (ops.Power(-0.75, 0.01, 3.0), {}),
    "exp": (ops.Exp(2.0, 0.5, -1.0), {}),
    "log": (ops.Log(10.0, 0.05, 3.0), {}),
    "bnll": (ops.Bnll(), {}),
    "threshold": (ops.Threshold(0.5), {}),
    "swish": (ops.Swish(1.5), {}),
    "mish": (ops.Mish(), {}),
    "hard swish": (ops.HardSwish(), {}),
    "hard sigmoid": (ops.HardSigmoid(), {}),
    "prelu": (ops.PRelu(), {"slope": rng.normal(size=5).astype(np.float32)}),
    "scale": (ops.Scale(2), {"scale": rng.normal(size=(6, 7)).astype(np.float32)}),
    "scale and bias": (
        ops.Scale(1),
        {k: rng.normal(size=5).astype(np.float32) for k in ("scale", "bias")},
    ),
    "bias": (ops.Bias(-1), {"bias": rng.normal(size=7).astype(np.float32)}),
    "max pool": (ops.Pool2d("max", (3, 3), (2, 2), (1, 1)), {}),
    "average pool": (ops.Pool2d("average", (3, 3), (2, 2), (1, 1)), {}),
    "lrn across": (ops.Lrn("across", 3, 0.1, 0.75, 2.0), {}),
    "lrn within": (ops.Lrn("within", 3, 0.1, 0.75), {}),
    "softmax": (ops.Softmax(-2), {}),
    "mvn": (ops.Mvn(eps=0.5), {}),
    "mvn across": (ops.Mvn(across_channels=True), {}),
    "mean": (ops.Mvn(variance=False), {}),
    "normalize": (ops.Normalize(False, 0.1), {"scale": rng.normal(size=5).astype(np.float32)}),
    "normalize all": (ops.Normalize(True), {"scale": np.float32([20])}),
    "larger": (ops.Resize(size=(11, 9)), {}),
    "smaller": (ops.Resize(size=(4, 3), rule="half_pixel", crop=(1, 0)), {}),
    "sum": (ops.Reduce("sum", 2, 0.5), {}),
    "sum of sizes": (ops.Reduce("asum", 0), {}),
    "sum of squares": (ops.Reduce("sumsq", -1), {}),
    "mean of all": (ops.Reduce("mean", 1, -3.0), {}),
    "largest": (ops.ArgMax(1, 3), {}),
    "largest values": (ops.ArgMax(-1, 2, values=True), {}),
    "gather": (ops.Gather(2), {"indices": np.int32([5, 0, 0, 3])}),
    "embed": (ops.Embed(4, 3), {k: rng.normal(size=s).astype(F) for k, s in EMBEDDED}),
    "mask": (ops.PoolMask((3, 3), (2, 2), (1, 1)), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_operators_agree_with_their_definition(name: str) -> None:
    op, weights = CASES[name]
    found = run_float(op, [IMAGE], weights)
    (expected,) = op.reference([IMAGE], weights)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("kind", ["sum", "prod", "max"])
def test_eltwise_agrees_with_its_definition(kind: str) -> None:
    op = ops.Eltwise(kind, activation=ops.Clip(-1, 1))
    inputs = [IMAGE, IMAGE[:, ::-1], IMAGE[..., ::-1]]
    np.testing.assert_allclose(
        run_float(op, inputs, {}), op.reference(inputs, {})[0], rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(("op", "shape"), [(ops.Scale(1), (5,)), (ops.Bias(2), (6, 7))])
def test_a_second_input_is_the_scale_or_the_bias(op: ops.Operator, shape: tuple[int, ...]) -> None:
    second = rng.normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(
        run_float(op, [IMAGE, second], {}), op.reference([IMAGE, second], {})[0]
    )


def test_unpool_agrees_with_its_definition() -> None:
    mask = rng.integers(-1, 70, IMAGE.shape).astype(np.float32) + F(0.25)
    op = ops.Unpool(size=(8, 8))
    (expected,) = op.reference([IMAGE, mask], {})
    np.testing.assert_array_equal(run_float(op, [IMAGE, mask], {}), expected)


@pytest.mark.parametrize("kind", [ops.Lstm, ops.Rnn])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("expose", [False, True])
def test_recurrent_layers_agree_with_their_definition(
    kind: type[ops.Lstm | ops.Rnn], static: bool, expose: bool
) -> None:
    op = kind(6, static, 4 * expose)
    shapes = [(4, 3, 5), (4, 3), (3, 2)][: 2 + static] + [(1, 3, 6)] * (expose * op.states())
    inputs = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    inputs[1] = np.maximum(inputs[1], 0)
    weights = {
        key: rng.normal(size=shape).astype(np.float32)
        for key, shape in op.matrices([*shapes, (1, 1)]).items()
    }
    (expected,) = op.reference(inputs, weights)
    assert op.infer_shapes(shapes, weights) == (expected.shape,)
    np.testing.assert_allclose(run_float(op, inputs, weights), expected, rtol=1e-5, atol=1e-6)


def test_every_case_is_tested() -> None:
    alone = {ops.Eltwise, ops.Unpool, ops.Lstm, ops.Rnn}
    # whose bits are compared with their definition where the boxes are tested
    boxes = {ops.DetectionOutput, ops.YoloOutput, ops.RoiPool, ops.PsRoiPool}
    assert set(RUNNERS) == {type(op) for op, _ in CASES.values()} | alone | boxes
