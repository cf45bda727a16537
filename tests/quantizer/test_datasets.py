"""All kinds of data, and all the ways in which they can be unusable."""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demitasse.errors import DataError
from demitasse.quantizer.datasets import open_dataset

RGB = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
GRAY = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)
BLOBS = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) / 8


def idx_bytes(array: np.ndarray, code: int) -> bytes:
    big_endian = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return (
        bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + big_endian
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """b.png (RGB), a/c.PNG (gray), and files that are no images."""
    (tmp_path / "a").mkdir()
    Image.fromarray(RGB[0]).save(tmp_path / "b.png")
    Image.fromarray(GRAY[1]).save(tmp_path / "a" / "c.PNG")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._b.png").write_bytes(b"rubbish")
    return tmp_path


def test_folder_is_read_recursively_in_order_of_names(folder: Path) -> None:
    data = open_dataset(folder)
    assert [(s.name, s.id) for s in data] == [("a/c.PNG", 0), ("b.png", 1)]
    np.testing.assert_array_equal(data.sample(0).data, GRAY[1][..., None])
    np.testing.assert_array_equal(data.sample(1).data, RGB[0])
    assert data.kind == "image"
    assert data.sample(0).label is None


def test_single_image(folder: Path) -> None:
    np.testing.assert_array_equal(open_dataset(folder / "b.png").sample(0).data, RGB[0])


def test_list_file_with_labels_and_blanks_in_names(folder: Path) -> None:
    (folder / "b.png").rename(folder / "b 2.png")
    (folder / "list.txt").write_text("b 2.png 7\n\na/c.PNG 3\n")
    data = open_dataset(folder / "list.txt")
    assert [(s.name, s.label) for s in data] == [("b 2.png", 7), ("a/c.PNG", 3)]
    (folder / "list.txt").write_text("b 2.png\n")
    assert open_dataset(folder / "list.txt").labels is None


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "1", "LA", "L", "RGB"])
def test_every_usual_pixel_format_becomes_gray_or_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    Image.fromarray(RGB[0]).convert(mode).save(tmp_path / f"x.{suffix}")
    channels = 1 if mode in ("1", "LA", "L") else 3
    assert open_dataset(tmp_path).sample(0).data.shape == (4, 5, channels)


def test_exif_orientation_turns_the_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    Image.fromarray(RGB[0]).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(open_dataset(tmp_path).sample(0).data, np.rot90(RGB[0], -1))


@pytest.mark.parametrize(
    ("array", "kind", "first"),
    [
        (RGB, "image", RGB[0]),
        (GRAY, "image", GRAY[0][..., None]),
        (GRAY[..., None], "image", GRAY[0][..., None]),
        (BLOBS, "blob", BLOBS[0]),
        (BLOBS.astype(np.float64), "blob", BLOBS[0]),
        (BLOBS.astype(np.float16), "blob", BLOBS[0]),
    ],
)
def test_arrays_in_memory_npy_and_npz(
    tmp_path: Path, array: np.ndarray, kind: str, first: np.ndarray
) -> None:
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "one.npz", array)
    np.savez(tmp_path / "two.npz", x=array, y=np.arange(2))
    specs = [array, tmp_path / "x.npy", str(tmp_path / "one.npz"), f"{tmp_path / 'two.npz'}:x"]
    for spec in specs:
        data = open_dataset(spec, labels=np.array([4, 5]))
        sample = data.sample(0)
        assert (len(data), data.kind, sample.label) == (2, kind, 4)
        assert sample.data.dtype == (np.uint8 if kind == "image" else np.float32)
        np.testing.assert_array_equal(sample.data, first)


def test_list_of_arrays_of_different_sizes() -> None:
    data = open_dataset([RGB[0], GRAY[0][:3]])
    assert [s.data.shape for s in data] == [(4, 5, 3), (3, 5, 1)]
    assert open_dataset([BLOBS[0]]).kind == "blob"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_plain_and_gzipped_with_labels(tmp_path: Path, pack) -> None:
    (tmp_path / "images").write_bytes(pack(idx_bytes(GRAY, 0x08)))
    (tmp_path / "labels").write_bytes(pack(idx_bytes(np.array([9, 1], np.uint8), 0x08)))
    data = open_dataset(tmp_path / "images", tmp_path / "labels")
    np.testing.assert_array_equal(data.sample(1).data, GRAY[1][..., None])
    assert [s.label for s in data] == [9, 1]
    (tmp_path / "blobs").write_bytes(pack(idx_bytes(BLOBS, 0x0D)))
    np.testing.assert_array_equal(open_dataset(tmp_path / "blobs").sample(1).data, BLOBS[1])


def test_labels_from_text_and_from_npz(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a.png 3\nb.png 4\n")
    np.savez(tmp_path / "labels.npz", y=np.array([5, 6]))
    assert [s.label for s in open_dataset(GRAY, tmp_path / "labels.txt")] == [3, 4]
    assert [s.label for s in open_dataset(GRAY, f"{tmp_path / 'labels.npz'}:y")] == [5, 6]


def test_subset_is_deterministic_nested_and_keeps_ids_and_labels() -> None:
    data = open_dataset(np.zeros((1000, 2, 2), np.uint8), labels=np.arange(1000))
    ten = data.subset(10)
    # Recorded: another machine or version must choose the same.
    assert ten.ids.tolist() == [24, 66, 177, 268, 437, 470, 486, 529, 565, 805]
    assert set(ten.ids) < set(data.subset(50).ids)
    assert [s.label for s in ten] == [s.id for s in ten] == sorted(ten.ids)
    assert data.subset(10, seed=1).ids.tolist() != ten.ids.tolist()
    assert data.subset(2000) is data
    assert data.select(slice(990, None)).ids.tolist() == list(range(990, 1000))


def test_samples_are_loaded_when_asked_for(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n rubbish")
    data = open_dataset(folder)
    assert data.sample(0).name == "a/c.PNG"
    with pytest.raises(DataError, match=r"broken\.png: "):
        data.sample(2)


def test_file_datasets_pickle_as_paths(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", np.zeros((1000, 32, 32, 3), np.uint8))
    data = open_dataset(tmp_path / "x.npz")
    data.sample(0)
    packed = pickle.dumps(data)
    assert len(packed) < 20_000
    np.testing.assert_array_equal(pickle.loads(packed).sample(999).data, np.zeros((32, 32, 3)))


def test_fingerprint_does_not_depend_on_the_folder(folder: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("other")
    for name in ("a.npy", "b.npy"):
        np.save(folder / name, RGB)
    np.save(other / "a.npy", RGB)
    first = open_dataset(folder / "a.npy").fingerprint
    assert first == open_dataset(other / "a.npy").fingerprint
    assert first != open_dataset(folder / "b.npy").fingerprint


def write_bad_files(folder: Path) -> None:
    (folder / "empty").mkdir()
    np.save(folder / "int.npy", np.zeros((2, 3, 4), np.int64))
    np.save(folder / "rank1.npy", np.zeros(5, np.float32))
    np.save(folder / "rank2.npy", np.zeros((5, 4), np.uint8))
    np.save(folder / "nchw.npy", np.zeros((2, 3, 8, 8), np.uint8))
    np.save(folder / "single.npy", np.zeros((8, 8, 3), np.uint8))
    np.save(folder / "none.npy", np.zeros((0, 8, 8), np.uint8))
    np.save(folder / "object.npy", np.array([{}], object), allow_pickle=True)
    np.savez(folder / "many.npz", images=RGB, labels=np.arange(2))
    (folder / "broken.npy").write_bytes((folder / "nchw.npy").read_bytes()[:-9])
    (folder / "broken.npz").write_bytes((folder / "many.npz").read_bytes()[:-40])
    (folder / "rubbish.npz").write_bytes(b"rubbish")
    (folder / "short-idx").write_bytes(idx_bytes(GRAY, 0x08)[:-1])
    (folder / "header-idx").write_bytes(bytes([0, 0, 8, 3, 0, 0]))
    (folder / "broken.gz").write_bytes(gzip.compress(idx_bytes(GRAY, 0x08))[:-12])
    (folder / "text.gz").write_bytes(gzip.compress(b"text"))
    (folder / "binary").write_bytes(b"\xff\xfe\x80rubbish")
    (folder / "empty.txt").write_text("\n")
    (folder / "missing.txt").write_text("\nnowhere.png 3\n")
    Image.fromarray(RGB[0]).save(folder / "ok.png")
    (folder / "mixed.txt").write_text("ok.png 1\nok.png\n")


BAD = {
    "nowhere": "nowhere: no such file or folder",
    "nowhere.npz:x": "nowhere.npz: no such file",
    "empty": "empty: holds no images; expected .bmp",
    "int.npy": "int.npy: int64 array of shape (2, 3, 4) holds neither images nor blobs; give",
    "rank1.npy": "rank1.npy: float32 array of shape (5,) is no batch of blobs; give",
    "rank2.npy": "rank2.npy: uint8 array of shape (5, 4) holds no images; give",
    "nchw.npy": "nchw.npy: uint8 array of shape (2, 3, 8, 8) holds no images; give",
    "single.npy": "single.npy: uint8 array of shape (8, 8, 3) holds no images; give",
    "none.npy": "none.npy: holds no samples",
    "object.npy": "object.npy: cannot be read",
    "many.npz": "many.npz: holds several arrays; write many.npz:KEY with one of images, labels",
    "many.npz:nix": "many.npz: holds no array 'nix'; write many.npz:KEY with one of images, labels",
    "broken.npy": "broken.npy: cannot be read",
    "broken.npz": "broken.npz: cannot be read",
    "rubbish.npz": "rubbish.npz: cannot be read",
    "short-idx": "short-idx: is damaged: 56 bytes expected, 55 found",
    "header-idx": "header-idx: is truncated",
    "broken.gz": "broken.gz: cannot be read",
    "text.gz": "text.gz: is not an IDX file",
    "binary": "binary: is neither a list of images nor a known data format; give",
    "empty.txt": "empty.txt: lists no images",
    "missing.txt": "missing.txt:2: no such image 'nowhere.png'",
    "mixed.txt": "mixed.txt:2: some lines have a label and some have none",
}


@pytest.mark.parametrize("spec", BAD)
def test_bad_data_is_one_line_that_names_the_file(tmp_path: Path, spec: str) -> None:
    write_bad_files(tmp_path)
    with pytest.raises(DataError) as caught:
        open_dataset(f"{tmp_path}/{spec}")
    assert str(caught.value).startswith(f"{tmp_path}/{BAD[spec]}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an image"),
        (b"\x89PNG\r\n\x1a\n rubbish", "cannot be decoded"),
        ("truncated", "cannot be decoded"),
        ("deep", "has more than 8 bits a pixel"),
    ],
)
def test_unreadable_images_are_named(tmp_path: Path, content, message: str) -> None:
    path = tmp_path / "x.png"
    if content == "deep":
        Image.fromarray(np.zeros((4, 4), np.uint16)).save(path)
    elif content == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.png: {message}"):
        open_dataset(tmp_path).sample(0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(3), "3 labels for 2 samples"),
        (np.zeros(2), "holds no labels"),
        (np.zeros((2, 1), np.int64), "holds no labels"),
        ("nowhere", "no such file"),
        ("words.txt", "is no list of labels"),
    ],
)
def test_bad_labels(tmp_path: Path, labels, message: str) -> None:
    (tmp_path / "words.txt").write_text("cat\ndog\n")
    spec = tmp_path / labels if isinstance(labels, str) else labels
    with pytest.raises(DataError, match=message):
        open_dataset(GRAY, spec)


def test_bad_lists_of_arrays() -> None:
    with pytest.raises(DataError, match="empty"):
        open_dataset([])
    with pytest.raises(DataError, match="mixes uint8 images and float blobs"):
        open_dataset([RGB[0], BLOBS[0]])
    with pytest.raises(DataError, match="array 1"):
        open_dataset([RGB[0], RGB[0].astype(np.int32)])


def test_data_by_input_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"data by input \(left, right\)"):
        open_dataset({"left": np.zeros((2, 1, 3, 3)), "right": np.zeros((2, 1, 3, 3))})


def test_mnist_as_it_is_distributed(models_dir: Path) -> None:
    folder = models_dir / "data" / "mnist"
    data = open_dataset(folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz")
    assert len(data) == 10000
    assert [data.sample(i).label for i in range(5)] == [7, 2, 1, 0, 4]
    assert data.sample(0).data.shape == (28, 28, 1)
