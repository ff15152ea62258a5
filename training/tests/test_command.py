"""The command line: settings of a recipe, and one clear line for what is wrong."""

import json
from dataclasses import dataclass, field

import onnx
import pytest
from conftest import REPOSITORY
from neutral import BERT_WORDS, HEADER, write_bert, write_folder

from recbackend.__main__ import UsageError, _command, _parser, _settings, check_out, configured, feature_options, main, recipe_names
from recbackend.data import DataError, UnfitData, read
from recbackend.features import FeatureOptions, build
from recbackend.recipes import id as id_recipe
from recbackend.recipes import ctrl, ppm, unified


@dataclass(frozen=True)
class Schedule:
    epochs: int = 6
    rate: float = 1e-3


@dataclass(frozen=True)
class Config:
    width: int = 32
    hidden: tuple[int, ...] = (64, 32)
    pair: tuple[int, int] = (64, 32)
    name: str = "x"
    on: bool = True
    schedule: Schedule = field(default_factory=Schedule)


def test_settings_are_read_in_the_type_that_the_recipe_has():
    config = configured(Config(), ["width=8", "hidden=[5, 6, 7]", "name=12", "on=false", "schedule.rate=1", "schedule.epochs=2"])
    assert config == Config(8, (5, 6, 7), (64, 32), "12", False, Schedule(2, 1.0))
    assert isinstance(config.schedule.rate, float)


@pytest.mark.parametrize(
    "setting, reason",
    [
        ("width", "must be KEY=VALUE"),
        ("depth=3", "no setting 'depth'"),
        ("schedule.steps=3", "no setting 'schedule.steps'"),
        ("schedule=3", "has parts: epochs, rate"),
        ("width.x=3", "has no parts"),
        ("width=3.5", "must be a int"),
        ("width=true", "must be a int"),
        ("hidden=a", "must be a list"),
        ("pair=[64]", "must be a list of 2"),
    ],
)
def test_wrong_setting_is_named(setting, reason):
    with pytest.raises(UsageError, match=reason.replace(".", r"\.")):
        configured(Config(), [setting])


def test_error_is_one_line_and_exit_code_2(tmp_path, capsys):
    write_folder(tmp_path, items=[{"id": "a"}, {"id": "a"}])
    assert main(["validate", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error == f"rec validate: {tmp_path / 'items.jsonl'}:2: item 'a' was already on line 1\n"


def test_unknown_recipe_lists_the_known_ones(tmp_path, capsys):
    assert main(["train", "magic", "--data", str(tmp_path), "--out", str(tmp_path / "b")]) == 2
    assert capsys.readouterr().err == f"rec train: no recipe 'magic'; there are {', '.join(recipe_names())}\n"


def test_valid_data_is_described(capsys):
    assert main(["validate", str(REPOSITORY / "tests" / "golden" / "tiny-data")]) == 0
    assert "50 items, 20 users, 400 events (train 320, validation 40, test 40)" in capsys.readouterr().err


def test_folder_that_is_no_bundle_is_never_replaced(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="is no bundle"):
        check_out(tmp_path / "precious")
    bundle = tmp_path / "old"
    bundle.mkdir()
    check_out(bundle)
    (bundle / "manifest.json").write_text('{"format": 1, "files": {"ranker.onnx": ""}}')
    (bundle / "ranker.onnx").write_text("x")
    check_out(bundle)
    (bundle / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match="is no bundle"):
        check_out(bundle)
    # A web application has a manifest.json too.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "manifest.json").write_text('{"name": "app", "icons": []}')
    with pytest.raises(UsageError, match="is no bundle"):
        check_out(tmp_path / "site")
    check_out(tmp_path / "new" / "bundle.zip")


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--epochs", "0"], "schedule.epochs is 0; 1 or more is allowed"),
        (["--config", "user_schedule.epochs=0"], "user_schedule.epochs is 0; 1 or more is allowed"),
        (["--history", "0"], "history is 0; 1 to 200 is allowed"),
        (["--history", "300"], "history is 300; 1 to 200 is allowed"),
        (["--text-length", "0"], "text_length is 0; 1 to 4096 is allowed"),
        (["--seed", "-1"], "--seed is -1; 0 or more is allowed"),
    ],
)
def test_setting_that_makes_a_useless_bundle_is_refused_before_training(tmp_path, capsys, arguments, reason):
    write_folder(tmp_path / "data")
    assert main(["train", "ppm", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "b"), *arguments]) == 2
    assert capsys.readouterr().err == f"rec train: {reason}\n"


def text_events(folder):
    """Data to train `ctrl` on, in a moment."""
    items = [{"id": name, "title": f"War {name}", "text": "love song", "categories": ["x"]} for name in "abc"]
    return write_folder(folder, items, HEADER + "".join(f"u{n % 4},{'abc'[n % 3]},{1000 + n},{n % 2}\n" for n in range(60)))


def test_bert_of_the_user_is_trained_with_and_stays_out_of_the_bundle(tmp_path, capsys):
    write_bert(tmp_path / "bert", vocabulary=[*BERT_WORDS, *(f"word{n}" for n in range(977 - len(BERT_WORDS)))])
    settings = ["--epochs", "1", "--config", "sentence=48", "--config", f"text_encoder={tmp_path / 'bert'}"]
    assert main(["train", "ctrl", "--data", str(text_events(tmp_path / "data")), "--out", str(tmp_path / "b"), *settings]) == 0
    stages = capsys.readouterr().err
    assert "alignment" in stages and "words" not in stages
    text = (tmp_path / "b" / "manifest.json").read_text()
    manifest = json.loads(text)
    assert manifest["item_inputs"]["text"] is None and str(tmp_path) not in text
    assert manifest["training"]["settings"]["text_encoder"] == "bert"
    assert manifest["training"]["command"].endswith("--config sentence=48 --config text_encoder=bert")
    graphs = list((tmp_path / "b").glob("*.onnx"))
    assert len(graphs) >= 3 and not any(977 in tensor.dims for graph in graphs for tensor in onnx.load(graph).graph.initializer)


@pytest.mark.parametrize("recipe, settings", [("ctrl", ["text_encoder={}"]), ("unified", ["aligned=true", "--config", "ctrl.text_encoder={}"])])
def test_folder_that_holds_no_bert_is_refused_before_training(tmp_path, capsys, recipe, settings):
    data = text_events(tmp_path / "data")
    arguments = [setting.format(tmp_path / "x") for setting in settings]
    assert main(["train", recipe, "--data", str(data), "--out", str(tmp_path / "b"), "--config", *arguments]) == 2
    assert capsys.readouterr().err == f"rec train: {tmp_path / 'x'}: is no folder of a BERT in Hugging Face's layout: it has no config.json\n"


def test_path_of_a_bert_is_taken_as_it_is_written():
    for name in ("123", "null", "[a]", "with space"):
        assert configured(ctrl.Config(), [f"text_encoder={name}"]).text_encoder == name
        assert configured(unified.Config(), [f"ctrl.text_encoder={name}"]).ctrl.text_encoder == name


def test_bert_must_read_whole_sentences_in_whatever_order_both_are_set(tmp_path):
    write_bert(tmp_path)
    settings = [f"text_encoder={tmp_path}", "sentence=48"]
    for order in (settings, settings[::-1]):
        configured(ctrl.Config(), order).check()
    with pytest.raises(DataError, match="reads 48 tokens, and sentences have up to 64"):
        configured(ctrl.Config(), settings[:1]).check()


def test_text_encoder_that_unified_would_not_read_is_refused(tmp_path):
    write_bert(tmp_path)
    config = configured(unified.Config(), [f"ctrl.text_encoder={tmp_path}", "ctrl.sentence=48"])
    with pytest.raises(UnfitData, match="add --config aligned=true"):
        config.check()
    configured(config, ["aligned=true"]).check()


def test_text_length_is_a_setting_of_the_recipe_or_refused(tmp_path, capsys):
    options = _parser().parse_args(["train", "ppm", "--data", "d", "--out", "b", "--text-length", "9"])
    assert configured(ppm.Config(), _settings(options)).text_length == 9
    assert _command(options) == "rec train ppm --data d --out b --config text_length=9"
    write_folder(tmp_path / "data")
    assert main(["train", "id", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "b"), "--text-length", "9"]) == 2
    assert "no setting 'text_length'" in capsys.readouterr().err


def test_id_reads_neither_text_nor_pictures(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    items = [{"id": name, "text": "some words", "categories": ["x"], "image": "a.png"} for name in "abc"]
    dataset = read(write_folder(tmp_path, items=items))
    options = _parser().parse_args(["train", "id", "--data", "d", "--out", "b"])
    built = build(dataset, feature_options(options, id_recipe.READS, id_recipe.Config(), FeatureOptions()))
    assert built.schema.tokenizer is None and built.items.image is None
    with pytest.raises(DataError, match="not a JPEG"):
        build(dataset, feature_options(options, ppm.READS, ppm.Config(), FeatureOptions()))


def test_items_of_ids_alone_train_id_and_are_refused_by_ppm(tmp_path, capsys):
    write_folder(tmp_path / "data", events=HEADER + "".join(f"u{n % 4},{'abc'[n % 3]},{1000 + n},{n % 2}\n" for n in range(60)))
    command = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "b")]
    assert main(["train", "ppm", *command]) == 2
    assert "ppm needs items with text or pictures" in capsys.readouterr().err.splitlines()[-1]
    assert main(["train", "id", *command, "--epochs", "1"]) == 0
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["item_inputs"]["categories"] == {"length": 1, "vocabulary": []} and manifest["dims"]["representation"] > 0


def test_damaged_picture_names_its_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    write_folder(tmp_path, items=[{"id": "a", "image": "a.png"}, {"id": "b"}, {"id": "c"}])
    with pytest.raises(DataError, match="a.png: not a JPEG or PNG"):
        build(read(tmp_path))


def test_baseline_ranks_by_click_rates(capsys):
    assert main(["baseline", str(REPOSITORY / "samples" / "movielens")]) == 0
    valid, test = capsys.readouterr().out.splitlines()
    values = dict(pair.split(" ") for pair in test.removeprefix("test: ").split(", "))
    assert valid.startswith("valid: rows ") and int(values["rows"]) == 10084
    assert 0.6 < float(values["gauc"]) < float(values["auc"]) < 1
