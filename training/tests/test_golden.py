"""The golden files are those that the code of today writes; `python -m recbackend golden` rewrites them.

Of a bundle, the tokenizer, the manifest but for hashes, settings and metrics, all examples, and names and shapes of the graphs' inputs and outputs are compared. The graphs themselves are not, since each
release of the exporter writes others; that they compute their examples is for those who run them (`RecipeBundleTests` of C#). No weight is trained, so examples are the same everywhere but for rounding.
"""

import json

import numpy as np
import onnx
import pytest
from conftest import REPOSITORY

from recbackend import golden, golden_recipes, safetensors
from recbackend.__main__ import recipe_names
from recbackend.train import Schedule

COMMITTED = REPOSITORY / "tests" / "golden"
LARGEST = 2_000_000
BUNDLES = ["tiny-bundle", *(f"recipes/{name}" for name in golden_recipes.GOLDEN)]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    golden.write(folder)
    return folder


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_every_golden_file_is_there(fresh):
    own = {name for name in files(COMMITTED) if name.split("/")[0] in {path.name for path in fresh.iterdir()}}
    assert own == files(fresh)
    assert sum((COMMITTED / name).stat().st_size for name in own) < LARGEST


@pytest.mark.parametrize("name", ["tokenizer.json", "tiny-data/items.jsonl", "tiny-data/users.jsonl", "tiny-data/events.csv"])
def test_text_is_up_to_date(fresh, name):
    assert (COMMITTED / name).read_text("utf-8") == (fresh / name).read_text("utf-8")


@pytest.mark.parametrize("bundle", BUNDLES)
def test_manifests_and_tokenizers_are_up_to_date(fresh, bundle):
    old, new = (json.loads((folder / bundle / "manifest.json").read_text("utf-8")) for folder in (COMMITTED, fresh))
    assert old["files"].keys() == new["files"].keys()
    for manifest in (old, new):
        for name in ("files", "version", "training", "metrics"):
            del manifest[name]
    assert_close(old, new)
    if new["item_inputs"]["text"]:
        assert (COMMITTED / bundle / "tokenizer.json").read_text("utf-8") == (fresh / bundle / "tokenizer.json").read_text("utf-8")


def test_feature_vectors_are_up_to_date(fresh):
    assert_close(json.loads((COMMITTED / "features.json").read_text()), json.loads((fresh / "features.json").read_text()))


def assert_close(old, new):
    if isinstance(new, float):
        assert old == pytest.approx(new, rel=1e-6, abs=1e-7)
    elif isinstance(new, dict):
        assert old.keys() == new.keys()
        for key in new:
            assert_close(old[key], new[key])
    elif isinstance(new, list):
        assert len(old) == len(new)
        for one, other in zip(old, new):
            assert_close(one, other)
    else:
        assert old == new


# Other releases of the picture and tensor libraries differ in the last digits and in how they pack; what was meant stays the same.
@pytest.mark.parametrize(
    "name, tolerance", [("images/expected.safetensors", 0.1), ("tiny-bundle/uncached.safetensors", 1e-4), *((f"{bundle}/golden.safetensors", 1e-4) for bundle in BUNDLES)]
)
def test_tensors_are_up_to_date(fresh, name, tolerance):
    old, new = safetensors.read(COMMITTED / name), safetensors.read(fresh / name)
    assert old.keys() == new.keys()
    for key in new:
        assert old[key].dtype == new[key].dtype
        np.testing.assert_allclose(old[key], new[key], atol=tolerance)


@pytest.mark.parametrize("name", ["tiny-bundle/uncached", *(f"{bundle}/{graph}" for bundle in BUNDLES for graph in ("item_encoder", "user_encoder", "ranker"))])
def test_graphs_have_the_same_borders(fresh, name):
    old, new = (onnx.load(str(folder / f"{name}.onnx")).graph for folder in (COMMITTED, fresh))
    for side in ("input", "output"):
        assert list(getattr(old, side)) == list(getattr(new, side))


def test_pictures_give_their_committed_tensors():
    from recbackend.images import ImageSpec, to_tensor

    index = json.loads((COMMITTED / "images" / "index.json").read_text())
    expected = safetensors.read(COMMITTED / "images" / index["expected"])
    for picture in index["pictures"]:
        tensor = to_tensor((COMMITTED / "images" / picture["file"]).read_bytes(), ImageSpec(picture["height"], picture["width"]))
        np.testing.assert_allclose(tensor, expected[picture["tensor"]], atol=picture["tolerance"])


def test_every_recipe_has_a_golden_bundle():
    assert {golden_recipes.small_recipes(Schedule())[name].module.__name__.split(".")[-1] for name in golden_recipes.GOLDEN} == set(recipe_names())
