"""BERT: the tokens and the states that the paper's own would have, from a folder as Hugging Face's library writes it, and one line for a folder that is none."""

import json
import math

import numpy as np
import pytest
import torch
from neutral import BERT, write_bert

from recbackend import bert, safetensors
from recbackend.data import DataError


def reference(text, tensors, layers, heads, padding, eps):
    """BERT's encoder as the paper describes it, in float64: states [T, width] of token ids [T]."""
    tensors = {name: value.astype(np.float64) for name, value in tensors.items()}

    def linear(x, name):
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    gelu = np.vectorize(lambda value: value * 0.5 * (1 + math.erf(value / math.sqrt(2))))
    x = tensors["embeddings.word_embeddings.weight"][text] + tensors["embeddings.position_embeddings.weight"][: len(text)]
    x = norm(x + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        query, key, value = (linear(x, f"{at}.attention.self.{one}") for one in ("query", "key", "value"))
        size = x.shape[1] // heads
        heard = np.zeros_like(x)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size)
            scores[:, text == padding] = -np.inf
            weights = np.exp(scores - scores.max(1, keepdims=True))
            heard[:, part] = weights / weights.sum(1, keepdims=True) @ value[:, part]
        x = norm(x + linear(heard, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
        x = norm(x + linear(gelu(linear(x, f"{at}.intermediate.dense")), f"{at}.output.dense"), f"{at}.output.LayerNorm")
    return x


TEXT = torch.tensor([[2, 9, 14, 7, 7, 3], [2, 5, 3, 0, 0, 0], [2, 20, 11, 6, 3, 0]])


@pytest.mark.parametrize("train", [False, True])
def test_states_are_those_of_the_paper(tmp_path, train):
    tensors = write_bert(tmp_path)
    model = bert.read(tmp_path).train(train)
    with torch.no_grad():
        states, means = model.states(TEXT).numpy(), model(TEXT).numpy()
    for text, own, mean in zip(TEXT.numpy(), states, means):
        present = text != 0
        expected = reference(text, tensors, 2, 4, 0, BERT["layer_norm_eps"])[present]
        np.testing.assert_allclose(own[present], expected, atol=1e-5)
        np.testing.assert_allclose(mean, expected.mean(0), atol=1e-5)


def test_padding_counts_for_nothing(tmp_path):
    write_bert(tmp_path)
    model = bert.read(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(model(TEXT[1:2]), model(TEXT[1:2, :3]))


def test_padding_is_where_the_vocabulary_has_it(tmp_path):
    tensors = write_bert(tmp_path, vocabulary=["[CLS]", "[SEP]", "[UNK]", "[PAD]", "a", "b"])
    model = bert.read(tmp_path)
    text = np.array([0, 4, 5, 1, 3, 3])
    expected = reference(text, tensors, 2, 4, 3, BERT["layer_norm_eps"])[:4].mean(0)
    np.testing.assert_allclose(model(torch.from_numpy(text).unsqueeze(0)).detach().numpy()[0], expected, atol=1e-5)


def test_same_model_is_read_with_and_without_a_head_and_from_old_names(tmp_path):
    states = []
    for name, options in (("bare", {}), ("head", {"prefix": "bert."}), ("old", {"prefix": "bert.", "old": True})):
        write_bert(tmp_path / name, **options)
        states.append(bert.read(tmp_path / name).states(TEXT))
    assert torch.equal(states[0], states[1]) and torch.equal(states[0], states[2])


def test_half_precision_is_read_as_float32(tmp_path):
    tensors = write_bert(tmp_path, dtype=np.float16)
    model = bert.read(tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    np.testing.assert_array_equal(model.token.weight.detach().numpy(), tensors["embeddings.word_embeddings.weight"].astype(np.float16).astype(np.float32))


# Tokens

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "##a", "run", "##ning", "cafe", "Café", "café", ",", ".", "!", "$", "[", "]", "sep", "the", "The", "中", "文", "##文", "ab", "'", "s", "…"]


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("unaffable running", "un ##aff ##able run ##ning"),
        ("The CAFÉ", "the cafe"),
        ("Cafe\u0301", "cafe"),
        ("run,the.  run!\tthe\n\rrun", "run , the . run ! the run"),
        ("the's $", "the ' s $"),
        ("the… “the", "the … [UNK] the"),
        ("中文run", "中 文 run"),
        ("ru\u200bn\x00 t\ufffdhe\u00a0run\u3000the", "run the run the"),
        ("runx the", "[UNK] the"),
        ("una" + "a" * 97 + " una" + "a" * 98 + " run", "un" + " ##a" * 98 + " [UNK] run"),
        ("[SEP]", "[ sep ]"),
        ("", ""),
        (" \n", ""),
    ],
)
def test_text_is_split_as_bert_splits_it(text, tokens):
    assert [VOCABULARY[id] for id in bert.WordPiece(VOCABULARY).encode(text)] == tokens.split()


def test_cased_model_keeps_case_and_accents():
    tokenizer = bert.WordPiece(VOCABULARY, lower_case=False)
    assert [VOCABULARY[id] for id in tokenizer.encode("The Cafe\u0301 the Cafe")] == ["The", "Café", "the", "[UNK]"]


def test_accents_may_be_kept_in_lower_case():
    tokenizer = bert.WordPiece(VOCABULARY, strip_accents=False)
    assert [VOCABULARY[id] for id in tokenizer.encode("CAFÉ")] == ["café"]


def test_folder_says_whether_it_is_cased(tmp_path):
    write_bert(tmp_path, vocabulary=VOCABULARY)
    assert bert.read(tmp_path).tokenizer.encode("The") == [VOCABULARY.index("the")]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "model_max_length": 512}))
    assert bert.read(tmp_path).tokenizer.encode("The") == [VOCABULARY.index("The")]


def test_vocabulary_is_split_at_line_feeds_alone(tmp_path):
    vocabulary = [*VOCABULARY[:4], "\u2028", "\x85", "last"]
    write_bert(tmp_path, vocabulary=vocabulary)
    assert bert.read(tmp_path).tokenizer.encode("last") == [6]


# Errors


def without(name):
    return lambda folder: (folder / name).unlink()


def with_config(**changes):
    return lambda folder: (folder / "config.json").write_text(json.dumps({name: value for name, value in (BERT | changes).items() if value is not None}))


def with_text(name, text):
    return lambda folder: (folder / name).write_text(text, "utf-8")


def with_tensors(change):
    def write(folder):
        tensors = safetensors.read(folder / "model.safetensors")
        change(tensors)
        safetensors.write(folder / "model.safetensors", tensors)

    return write


@pytest.mark.parametrize(
    "damage, reason",
    [
        (without("config.json"), "is no folder of a BERT in Hugging Face's layout: it has no config.json"),
        (without("vocab.txt"), "it has no vocab.txt"),
        (without("model.safetensors"), "it has no model.safetensors"),
        (with_config(model_type="roberta"), "config.json: model_type is 'roberta'; only 'bert' can be read"),
        (with_config(hidden_act="gelu_new"), "config.json: hidden_act is 'gelu_new'"),
        (with_config(position_embedding_type="relative_key"), "config.json: position_embedding_type is 'relative_key'"),
        (with_config(intermediate_size=None), "config.json: has no intermediate_size"),
        (with_config(num_hidden_layers="2"), "config.json: num_hidden_layers is '2'"),
        (with_config(num_attention_heads=3), "config.json: hidden_size 16 is no multiple of num_attention_heads 3"),
        (with_config(num_hidden_layers=3), "model.safetensors: has no tensor 'encoder.layer.2.attention.self.query.weight'"),
        (with_config(vocab_size=60), r"model.safetensors: tensor 'embeddings.word_embeddings.weight' is of shape \[40, 16\]; config.json asks for \[60, 16\]"),
        (with_config(vocab_size=30), "vocab.txt: has 40 tokens, and config.json says vocab_size 30"),
        (with_text("config.json", "{"), "config.json: is not JSON"),
        (with_text("config.json", "[]"), "config.json: is no JSON object"),
        (with_text("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n"), r"vocab.txt: has no \[SEP\]"),
        (with_text("tokenizer_config.json", "no"), "tokenizer_config.json: is not JSON"),
        (with_text("tokenizer_config.json", '{"tokenizer_class": "BertJapaneseTokenizer"}'), "tokenizer_class is 'BertJapaneseTokenizer'; only 'BertTokenizer' or 'BertTokenizerFast' can be read"),
        (with_text("tokenizer_config.json", '{"tokenize_chinese_chars": false}'), "tokenize_chinese_chars is False; only True can be read"),
        (with_text("tokenizer_config.json", '{"do_basic_tokenize": false}'), "do_basic_tokenize is False"),
        (with_text("tokenizer_config.json", '{"word_tokenizer_type": "mecab"}'), "word_tokenizer_type is 'mecab'"),
        (with_text("model.safetensors", "x"), "model.safetensors: is cut short"),
        (with_text("model.safetensors", "\2" + 7 * "\0" + "[]"), "model.safetensors: the header is no JSON object"),
        (with_text("model.safetensors", "\7" + 7 * "\0" + '{"a":1}'), "model.safetensors: the header has no dtype, shape and data_offsets of tensor 'a'"),
        (with_tensors(lambda all: all.pop("encoder.layer.1.output.dense.bias")), "has no tensor 'encoder.layer.1.output.dense.bias'"),
        (with_tensors(lambda all: all.update({"embeddings.LayerNorm.bias": np.zeros(3, np.float32)})), r"'embeddings.LayerNorm.bias' is of shape \[3\]; config.json asks for \[16\]"),
    ],
)
def test_unfit_folder_is_one_line_that_names_what_is_wrong(tmp_path, damage, reason):
    write_bert(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=reason) as raised:
        bert.read(tmp_path)
    assert str(raised.value).startswith(str(tmp_path)) and "\n" not in str(raised.value)


def test_sentences_must_fit_into_the_positions(tmp_path):
    write_bert(tmp_path)
    bert.check(tmp_path, 48)
    with pytest.raises(DataError, match="reads 48 tokens, and sentences have up to 49"):
        bert.check(tmp_path, 49)
