"""From a folded float graph and a table of scales to an integer graph.

Every tensor of the result is int8 or int16 with `Quantization(scale, zero_point)` (the scale is a
float32 value), or float32 between Dequantize and Quantize nodes. Network inputs are integers;
an output is whatever its producer writes. Nodes keep their names, classes and fields, except

    Relu, Clip, PRelu, Power(power=1, shift=0)              -> Rescale
    Elu, Sigmoid, Tanh, Abs, Power                          -> Lookup
    BatchNorm, Scale, Bias: constants along axis 1,
    rank 2 or 4                                             -> Conv2d, depthwise 1x1 (rank 2 stays rank 2)
    Eltwise "prod" of more than two                         -> a chain of pairs
    Softmax and whatever has no integer form                -> itself, in float32

Max pooling, Concat, Slice, Reshape, Flatten, Permute, Crop and Identity move codes: their inputs
and outputs share one quantization (a Rescale stands before a Concat where one differs). New
tensors have names that start with "%". Constants of integer nodes, in `Node.weights`:

    Conv2d, InnerProduct, Deconv2d
        weight      int8 or int16, Caffe's layout
        bias        int32 (O,), the true bias in accumulator units (zero points not folded)
        multiplier, left, right                              int32 (O,)
        negative_multiplier, negative_left, negative_right   int32 (O,), only with a slope below 0
        low, high   int32 scalars: the clamp, fused activation included (`op.activation` only tells)
    Pool2d "average"
        divisors    int32 (n, 4): rows divisor, multiplier, left, right, ascending
        low, high
    Pool2d "max"    nothing
    Eltwise
        multiplier  int32 (inputs,)  "sum" and "max"; (1,) "prod"
        left, right int32 scalars    "sum"; (inputs,) "max"; (1,) "prod"
        low, high
    Rescale
        multiplier, left, right, and with a slope below 0 negative_*: int32, (1,) or (C,)
        low, high
    Lookup
        table       int8 (256,) or int16 (2**bits + 1,)
        bits        int32 scalar: 8 for int8, 7..12 for int16
    Lrn
        table       int16 ((33 - bits) * 2**bits + 1,)
        bits, shift, multiplier, left, right, low, high      int32 scalars
    Concat, Slice, Reshape, Flatten, Permute, Crop, Identity, Quantize, Dequantize   nothing
    float32 nodes   what they had
"""
