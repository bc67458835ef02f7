"""Pickles of arrays are read whatever numpy wrote them; pickles that run code are refused."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vidgap_segmenter import weights
from vidgap_segmenter.weights import pickles

ARRAYS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "by columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every second": np.arange(20, dtype=np.float16)[::2],
    "big end first": np.arange(3, dtype=">f4"),
    "whole numbers": np.arange(3),
    "bytes": np.arange(3, dtype=np.uint8),
    "truth": np.array([True, False]),
    "one number": np.array(3.0),
    "nothing": np.zeros((0, 4), np.float32),
}


def same(tensors: object, arrays: dict[str, np.ndarray]) -> bool:
    assert isinstance(tensors, dict)
    assert tensors.keys() == arrays.keys()
    return all(
        isinstance(tensors[name], torch.Tensor)
        and tensors[name].shape == array.shape
        and np.array_equal(tensors[name].numpy(), array)
        for name, array in arrays.items()
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol_are_read(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    content = {"model": OrderedDict(ARRAYS), "__author__": "somebody", "steps": [1, (2.5, None)]}
    path.write_bytes(pickle.dumps(content, protocol))
    assert same(pickles.load(path), ARRAYS)
    assert same(weights.read_state_dict(path), ARRAYS)


def test_numpy_scalars_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"lr": np.float32(0.5), "step": np.int64(7)}))
    assert pickles.load(path) == {"lr": 0.5, "step": 7}


def python_2(core: str) -> bytes:
    """{"w": float32 [1, 2]} as numpy under Python 2 pickled it: names and content are texts."""
    content = np.array([1, 2], "<f4").tobytes()
    return b"".join(
        [
            b"\x80\x02}U\x01w",
            f"cnumpy.{core}.multiarray\n_reconstruct\n".encode(),
            b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85",
            b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R",
            b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89U\x08" + content + b"tbs.",
        ]
    )


@pytest.mark.parametrize("core", ["core", "_core"])
def test_arrays_of_numpy_1_and_2_and_of_python_2_are_read(core: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(python_2(core))
    assert same(pickles.load(path), {"w": np.array([1, 2], np.float32)})


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_arrays_among_tensors_of_torch_are_read(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "model_final.pth"
    content = {"model": {**ARRAYS, "tensor": torch.ones(2)}, "optimizer": {"state": {0: [1]}}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = weights.read_state_dict(path)
    assert torch.equal(found.pop("tensor"), torch.ones(2))
    assert same(found, ARRAYS)


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def write(path: Path, content: object, *, by_torch: bool) -> None:
    if by_torch:
        torch.save({"model": content}, path)
    else:
        path.write_bytes(pickle.dumps({"model": content}))


@pytest.mark.parametrize("by_torch", [True, False], ids=["torch", "pickle"])
def test_a_pickle_that_runs_a_command_is_refused(by_torch: bool, tmp_path: Path) -> None:
    import os

    path, sign = tmp_path / "weights.pkl", tmp_path / "it ran"
    payload = Calls(os.system, f"touch '{sign}'")
    write(path, {"w": ARRAYS["matrix"], "x": payload}, by_torch=by_torch)
    with pytest.raises(ValueError, match=r"weights.pkl: cannot be .* posix.system") as caught:
        weights.read_state_dict(path)
    assert "\n" not in str(caught.value)
    assert not sign.exists()
    # The payload is real: without protection it runs.
    if not by_torch:
        pickle.loads(path.read_bytes())
        assert sign.exists()


DANGEROUS = [
    ("builtins", "eval"),
    ("builtins", "getattr"),
    ("__builtin__", "exec"),
    ("operator", "attrgetter"),
    ("numpy", "load"),
    ("numpy", "fromfile"),
    ("numpy", "memmap"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.core.multiarray", "fromfile"),
    ("numpy", "core.multiarray.fromfile"),
    ("numpy._core.multiarray", "frombuffer"),
    ("numpy.ma.core", "_mareconstruct"),
    ("numpy.f2py.diagnose", "run_command"),
    ("torch", "load"),
    ("vidgap_segmenter.weights.pickles", "load"),
]


@pytest.mark.parametrize(("module", "name"), DANGEROUS, ids=str)
def test_a_pickle_may_name_nothing_but_arrays(module: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    texts = [b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)]
    path.write_bytes(b"\x80\x04" + b"".join(texts) + b"\x93.")
    with pytest.raises(pickles.Refused, match=re.escape(f"names {module}.{name}, and a file of")):
        pickles.load(path)


def array_state(*, shape: object, kind: object, content: object, order: str = "<") -> bytes:
    """A pickle of an array whose parts may be wrong, from numpy's own `__reduce__`."""
    reconstruct, arguments, _ = np.zeros(1).__reduce__()

    class Kind:
        def __reduce__(self) -> tuple[object, ...]:
            state = (3, order, None, None, None, -1, -1, 0)
            return np.dtype, (kind, False, True), state

    class Array:
        def __reduce__(self) -> tuple[object, ...]:
            return reconstruct, arguments, (1, shape, Kind(), False, content)

    return pickle.dumps(Array())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"shape": (1,), "kind": "O8", "content": [1]}, "must hold numbers, got dtype 'O8'"),
        ({"shape": (1,), "kind": "V8", "content": b"8" * 8}, "must hold numbers, got dtype 'V8'"),
        ({"shape": (1,), "kind": "f4", "content": b"1234", "order": "="}, "byte order must be"),
        ({"shape": (1,), "kind": "f4", "content": [1.0]}, "content must be bytes"),
        ({"shape": (-1,), "kind": "f4", "content": b"1234"}, "shape must be whole numbers"),
        ({"shape": ("x",), "kind": "f4", "content": b"1234"}, "shape must be whole numbers"),
        ({"shape": (2,), "kind": "f4", "content": b"1234"}, "cannot reshape array of size 1"),
        ({"shape": (1,), "kind": "f4", "content": b"123"}, "buffer size must be a multiple"),
    ],
    ids=str,
)
def test_an_array_must_be_numbers_of_its_shape(
    parts: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(array_state(**parts))
    with pytest.raises(ValueError, match=message):
        weights.read_state_dict(path)


def test_what_stands_in_for_numpy_takes_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    no_codec = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R."
    not_an_array = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nccollections\nOrderedDict\n"
        b"K\x00\x85U\x01b\x87R."
    )
    for content, message in [
        (no_codec, "bytes must be written as latin1, got 'zlib'"),
        (not_an_array, "only arrays can be reconstructed"),
    ]:
        path.write_bytes(content)
        with pytest.raises(pickles.Refused, match=message):
            pickles.load(path)


def test_objects_in_a_file_of_torch_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"w": np.array([Path()], dtype=object)}, path)
    with pytest.raises(ValueError, match="Refused: arrays must hold numbers, got dtype 'O8'"):
        weights.read_state_dict(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_pickle_cut_short_is_named(share: float, tmp_path: Path) -> None:
    path = tmp_path / "model_final.pkl"
    whole = pickle.dumps({"model": ARRAYS, "__author__": "somebody"})
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"model_final.pkl: cannot be read as tensors") as caught:
        weights.read_state_dict(path)
    assert "\n" not in str(caught.value)


def nested(depth: int) -> list[object]:
    """Lists in which one list stands twice, over and over: few bytes, 2**depth references."""
    inner: list[object] = []
    for _ in range(depth):
        inner = [inner, inner]
    return inner


@pytest.mark.parametrize("by_torch", [True, False], ids=["torch", "pickle"])
def test_what_stands_beside_the_weights_is_not_walked(by_torch: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    content = {"model": {"w": ARRAYS["matrix"]}, "optimizer": nested(60)}
    if by_torch:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    assert same(weights.read_state_dict(path), {"w": ARRAYS["matrix"]})
    write(path, {"w": ARRAYS["matrix"], "x": nested(60)}, by_torch=by_torch)
    with pytest.raises(
        ValueError, match=r"must hold tensors alone, got other things under \['x'\]"
    ):
        weights.read_state_dict(path)


STATES = {
    "attribute": pickle.dumps({"__wrapped__": 1}, 2)[2:-1],
    "slot": pickle.dumps((None, {"__defaults__": (1, 2), "function": 3}), 2)[2:-1],
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", pickles.STAND_INS)
def test_a_pickle_changes_nothing_that_it_names(name: str, state: str, tmp_path: Path) -> None:
    path, good = tmp_path / "weights.pkl", tmp_path / "good.pkl"
    module, _, function = name.rpartition(".")
    code = b"\x80\x02c" + f"{module}\n{function}\n".encode() + STATES[state] + b"b."
    path.write_bytes(code)
    with pytest.raises(ValueError, match=r"weights.pkl: cannot be read as tensors alone"):
        weights.read_state_dict(path)
    assert not hasattr(pickles.STAND_INS[name], "__wrapped__")
    for protocol in (0, 2, 5):
        good.write_bytes(pickle.dumps({**ARRAYS, "number": np.float64(2.5)}, protocol))
        found = pickles.load(good)
        assert isinstance(found, dict)
        assert found.pop("number") == 2.5
        assert same(found, ARRAYS)


@pytest.mark.parametrize("by_torch", [True, False], ids=["torch", "pickle"])
def test_attributes_of_a_dictionary_are_dropped(by_torch: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    attributes = {"_metadata": {"": {"version": 2}}, "items": 5, "keys": 5, "get": 5}

    class Content:
        def __reduce__(self) -> tuple[object, ...]:
            return OrderedDict, (), attributes, None, iter(ARRAYS.items())

    write(path, Content(), by_torch=by_torch)
    assert same(weights.read_state_dict(path), ARRAYS)


@pytest.mark.parametrize("key", [1, None, ("a",), b"w"], ids=str)
def test_names_are_texts(key: object, tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    write(path, {key: ARRAYS["matrix"]}, by_torch=False)
    with pytest.raises(ValueError, match=rf"names must be texts, got {type(key).__name__}"):
        weights.read_state_dict(path)
