"""The public names, one by one, and where `import demitasse` stops loading."""

import inspect
import subprocess
import sys

import pytest

import demitasse
from demitasse import errors

PUBLIC = {
    "DemitasseError",
    "Model",
    "__version__",
    "compile",
    "evaluate",
    "export_onnx",
    "load_caffe",
}


def test_all_is_the_agreed_list() -> None:
    assert set(demitasse.__all__) == PUBLIC
    assert set(dir(demitasse)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(demitasse, name)
    if name == "__version__":
        assert [part.isdigit() for part in value.split(".")] == [True] * 3
    else:
        assert callable(value)
        assert inspect.getdoc(value)


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("load_caffe", "input_shapes outputs plugins phase level stages dialect strict"),
        ("evaluate", "all_blobs"),
        ("export_onnx", "opset"),
        ("compile", "precision data method symmetric preprocess table"),
    ],
)
def test_functions_take_the_agreed_keywords(name: str, keywords: str) -> None:
    found = inspect.signature(getattr(demitasse, name)).parameters
    assert [keyword for keyword in keywords.split() if keyword not in found] == []


def test_model_opens_and_runs_with_the_agreed_keywords() -> None:
    opened = inspect.signature(demitasse.Model.open).parameters
    assert [p for p in ("kernels", "threads") if p not in opened] == []
    assert "all_blobs" in inspect.signature(demitasse.Model.run).parameters


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = demitasse.no_such_name


def test_import_alone_loads_no_heavy_library() -> None:
    heavy = "numpy scipy onnx h5py PIL google.protobuf"
    code = f"import sys, demitasse; print(*(set('{heavy}'.split()) & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == []


def test_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from demitasse import *", names)
    assert set(names) >= PUBLIC


def test_every_error_is_of_the_family_and_drawn_in_the_docstring() -> None:
    family = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    ]
    assert [e for e in family if not issubclass(e, (errors.DemitasseError, UserWarning))] == []
    assert [e.__name__ for e in family if e.__name__ not in (errors.__doc__ or "")] == []
