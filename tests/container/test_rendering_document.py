"""docs/format.md is a renderer: from symbols to pixels in float64, by the document alone.

What follows is written from the document's sections "Dequantization" to "Rendering" and uses
nothing of the library; `tests.document` reads header and symbols by the other sections.
"""

import math

import numpy as np
import pytest
from PIL import Image

import inrcodec
from inrcodec import decoder, prc
from inrcodec.container.header import Header
from inrcodec.entropy.layer import Layer
from inrcodec.entropy.model import fit_model
from inrcodec.families.siren.shape import Siren
from inrcodec.pranc.layout import BASES
from tests import document
from tests.document import SPEC
from tests.files import write
from tests.test_golden import GOLDEN, SYMBOLS

INITIAL, SIGNS, ORDER = 0, 1, 2


def words(seed, stream, count):
    key = (seed % 2**32, seed >> 32)
    quads = [SPEC["philox"]((i, *stream), key) for i in range(-(-count // 4))]
    return np.array(quads, dtype=np.int64).flatten()[:count]


def signs(seed, stream, count):
    bits = [
        word >> i & 1 for word in words(seed, stream, -(-count // 32)).tolist() for i in range(32)
    ]
    return 1 - 2 * np.array(bits[:count])


def permutation(seed, stream, n):
    word = words(seed, stream, n).tolist()
    return np.array(sorted(range(n), key=lambda index: (word[index], index)))


def uniform(seed, stream, count):
    return (words(seed, stream, count) // 2**8) * 2.0**-23 - 1


def walsh(i, j):
    """(-1)^popcount(i AND j) of all pairs."""
    return np.array([[(-1) ** (a & b).bit_count() for b in j.tolist()] for a in i.tolist()])


def dense(alpha, rows, cols, seed, block):
    k, D = len(alpha), rows * cols
    return sum(alpha[j] * signs(seed, (j, block, SIGNS), D) for j in range(k)) / math.sqrt(k)


def hadamard(alpha, rows, cols, seed, block):
    k, D = len(alpha), rows * cols
    n = 1
    while n < D:
        n *= 2
    H = walsh(np.arange(n), np.arange(n))
    x = np.concatenate([alpha, np.zeros(n - k)])
    for i in (0, 1):
        x = H @ (x * signs(seed, (i, block, SIGNS), n))
        x = x[permutation(seed, (i, block, ORDER), n)]
    return x[:D] / math.sqrt(n * k)


def kronecker(alpha, rows, cols, seed, block, shape):
    def side(number, size, rank):
        s = signs(seed, (number, block, SIGNS), size)
        p = permutation(seed, (2 * number, block, ORDER), size)
        q = permutation(seed, (2 * number + 1, block, ORDER), size)
        return s[:, None] * walsh(p, q[:rank])

    U, V = side(0, rows, shape[0]), side(1, cols, shape[1])
    return (U @ alpha.reshape(shape) @ V.T).flatten() / math.sqrt(shape[0] * shape[1])


def sparse(alpha, rows, cols, seed, block):
    D = rows * cols
    p = permutation(seed, (0, block, ORDER), D)
    return signs(seed, (0, block, SIGNS), D) * alpha[p % len(alpha)]


def update(basis, alpha, rows, cols, seed, block, compaction):
    """Bα."""
    if basis == "identity":
        return alpha
    if basis == "kronecker":
        shape = document.kronecker_shape(rows, cols, -(-64 * rows * cols // compaction))
        return kronecker(alpha, rows, cols, seed, block, shape)
    product = {"dense": dense, "hadamard": hadamard, "sparse": sparse}[basis]
    return product(alpha, rows, cols, seed, block)


def parameters(h):
    """Each block's matrix."""
    bases = document.bases(h)
    for block, model in enumerate(document.coefficients(h)):
        rows, cols = h.blocks[block]
        alpha = np.array(document.alpha(model))
        units = sum(h.stages[: block // (h.depth + 1) + 1])
        move = update(bases[block], alpha, rows, cols, h.seed, block, h.compaction)
        if block % (h.depth + 1) == 0:
            spread, scale = (1 / 2, 1 / math.sqrt(2)), (1 / math.sqrt(12), 1 / math.sqrt(6))
            if len(h.stages) > 1:
                slower = min(1, units / h.omega_first)
                spread, scale = np.multiply(spread, slower), np.multiply(scale, slower)
        else:
            spread = math.sqrt(6 / units) / h.omega_hidden, 1 / math.sqrt(units)
            scale = np.array([1, 3]) * math.sqrt(2 / units) / h.omega_hidden
        column = [0] * (cols - 1) + [1]
        u = uniform(h.seed, (0, block, INITIAL), rows * cols).reshape(rows, cols)
        yield np.take(spread, column) * u + np.take(scale, column) * move.reshape(rows, cols)


def joined(blocks, layers):
    """The layers of a network from the blocks of its stages."""
    for i in range(layers - 1):
        parts = blocks[i::layers]
        matrix = np.zeros((sum(map(len, parts)), parts[-1].shape[1]))
        row = 0
        for part in parts:
            matrix[row : row + len(part), : part.shape[1] - 1] = part[:, :-1]
            matrix[row : row + len(part), -1] = part[:, -1]
            row += len(part)
        yield matrix
    yield blocks[-1]


def render(data, size=None):
    """Samples (height, width, channels)."""
    h = document.parse(data)
    longer = max(h.width, h.height)
    if size is None:
        width, height = h.width, h.height
        x = (2 * np.arange(width) + 1 - width) / longer
        y = (2 * np.arange(height) + 1 - height) / longer
    else:
        width, height = size
        x = ((2 * np.arange(width) + 1) / width - 1) * h.width / longer
        y = ((2 * np.arange(height) + 1) / height - 1) * h.height / longer
    v = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), -1)
    for i, matrix in enumerate(joined(list(parameters(h)), h.depth + 1)):
        v = v @ matrix[:, :-1].T + matrix[:, -1]
        if i < h.depth:
            v = np.sin((h.omega_first if i == 0 else h.omega_hidden) * v)
    return samples(v, h.low, h.top)


def samples(o, low, top):
    """Outputs as samples of a range."""
    return low + np.floor(np.clip((o + 1) / 2, 0, 1) * (top - low) + 1 / 2).astype(np.int64)


def a_file(basis, channels=3, bits=8, depth=3, **options):
    """Random symbols, in steps that make a lively picture that also leaves the range."""
    siren = Siren(channels, 7, depth, omega_first=25.25, omega_hidden=30)
    compaction = 64 if basis == "identity" else 90
    options = {"bits": bits, "basis": basis, "compaction": compaction, "seed": 77} | options
    header = Header(siren, 41, 23, **options)
    rng = np.random.default_rng(len(basis))
    layers = []
    for i, k in enumerate(header.coefficients):
        deviation = 20 if i == depth else 1.5
        q = np.rint(rng.laplace(0, deviation / 2**0.5 * 16, k)).astype(np.int32)
        if i == depth:
            q[7::8] //= 8  # The biases, which would leave one grey.
        layers.append(Layer(fit_model(q, step=160, edge=25 + 11 * i), q))
    return write(header, layers)


def check(data, size=None, share=0.001):
    file = prc.open(data)
    picture = (0, 0, file.header.width, file.header.height)
    window = None if size is None else decoder.Window(picture, size)
    ours = decoder.render(file.header, file.content.values, window=window).astype(np.int64)
    theirs = render(data, size)
    assert ours.shape == theirs.shape
    difference = np.abs(ours - theirs)
    assert difference.max() <= 1
    assert (difference > 0).mean() < share
    return theirs


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("size", [None, (190, 101)])
def test_any_basis_on_any_grid(basis, size):
    samples = check(a_file(basis), size)
    assert samples.min() == 0 or samples.max() == 255
    assert np.mean((samples > 0) & (samples < 255)) > 0.5


@pytest.mark.parametrize("basis", BASES[1:])
def test_the_basis_may_take_the_first_and_last_layer_too(basis):
    check(a_file(basis, whole_first=False, whole_last=False), (90, 60))


@pytest.mark.parametrize(("channels", "depth"), [(1, 1), (2, 2), (4, 5)])
def test_any_channels_and_depth(channels, depth):
    check(a_file("identity", channels=channels, depth=depth), (90, 60))


def test_16_bit_samples_differ_by_1_at_most():
    # float32 carries 24 bits, so the share that differs is some per cent here.
    check(a_file("identity", channels=1, bits=16), share=0.1)


@pytest.mark.parametrize("bits, low, high", [(8, 16, 235), (8, 3, 4), (16, 1000, None)])
def test_a_range_of_samples(bits, low, high):
    samples = check(a_file("identity", 1, bits, low=low, high=high), share=0.1)
    top = 65535 if high is None else high
    assert low <= samples.min() and samples.max() <= top
    assert samples.min() == low or samples.max() == top


@pytest.mark.parametrize("name", [name for name in SYMBOLS if "pyramid" not in name])
def test_golden_pictures_of_sirens(name):
    theirs = render((GOLDEN / f"{name}.prc").read_bytes())
    difference = np.abs(theirs - np.atleast_3d(np.asarray(Image.open(GOLDEN / f"{name}.png"))))
    assert difference.max() <= 1 and (difference > 0).mean() < (0.1 if "16" in name else 1e-3)


@pytest.mark.parametrize("basis", ["identity", "hadamard"])
def test_a_fitted_photograph(basis, photograph):
    data = inrcodec.encode(photograph, max_bytes=450, basis=basis, effort=1, device="cpu")
    decoded = np.asarray(inrcodec.decode(data, device="cpu")).astype(np.int64)
    difference = np.abs(decoded - render(data))
    assert difference.max() <= 1 and (difference > 0).mean() < 0.001
    check(data, (240, 160))
    original = np.asarray(photograph).astype(np.int64)
    assert np.abs(render(data) - original).mean() < 15


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_first_stages_of_a_siren_that_grows(count):
    siren = Siren(3, 9, 3, 25.25, 30, stages=(4, 3, 2))
    header = Header(siren, 41, 23, seed=77)
    rng = np.random.default_rng(5)
    layers = []
    for i, k in enumerate(header.coefficients):
        last = i % 4 == 3
        q = np.rint(rng.normal(0, 200 if last else 15, k)).astype(np.int32)
        if last:
            q[siren.widths[i // 4] :: siren.widths[i // 4] + 1] //= 8
        layers.append(Layer(fit_model(q, step=160, edge=32, gaussian=True), q))
    data = write(header, layers)
    end = prc.open(data).parts[count]
    check(data[: end.offset + end.size])
