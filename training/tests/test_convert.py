"""Converters give valid data, nothing that may not be passed on, and nothing of the future."""

import csv
import json
import shutil

import numpy as np
import pytest
from conftest import REPOSITORY
from neutral import write_movielens_1m

from recbackend import convert, data
from recbackend.data import HELD_OUT, TEST, TRAIN, VALID

SAMPLE = REPOSITORY / "samples" / "movielens"


@pytest.fixture
def source(tmp_path):
    """A made-up MovieLens latest-small of 40 ratings."""
    folder = tmp_path / "source"
    folder.mkdir()
    ratings = [f"{n % 5 + 1},{n % 4 + 1},{n % 4 + 1.5},{1000 + n // 2}" for n in range(40)]
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(reversed(ratings)) + "\n")
    (folder / "movies.csv").write_text(
        'movieId,title,genres\n1,"Comedy, The (1995)",Comedy|Drama\n2,Odd Title,(no genres listed)\n3,Série (2006–2007) ,Drama\n4,Blade (Runner) (1982),Sci-Fi\n'
    )
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,1,Funny ,1001\n2,1,funny,1002\n2,1,a  b,1003\n3,1,too late,1017\n")
    content = {"movieId": 2, "abstract_dbpedia": "About\n it.", "overview_tmdb": "secret", "plot_full": "secret", "director": "secret", "actors": "secret"}
    (folder / "content.jsonl").write_text(json.dumps(content) + "\n")
    return folder


def test_small_set_is_converted(source, tmp_path):
    convert.movielens_small(source, tmp_path / "out")
    dataset = data.read(tmp_path / "out")
    items = {item.id: item for item in dataset.items}
    assert items["1"].title == "Comedy, The" and items["1"].attributes == {"year": "1995"} and items["1"].categories == ("Comedy", "Drama")
    assert items["2"].title == "Odd Title" and items["2"].categories == () and items["2"].text == "About it."
    assert items["3"].title == "Série" and items["3"].attributes == {"year": "2006"}
    assert items["4"].title == "Blade (Runner)"
    assert np.bincount(dataset.split).tolist() == [32, 4, 4]
    assert dataset.label.sum() == sum(n % 4 + 1.5 >= 4 for n in range(40))


@pytest.mark.parametrize(
    "file, line, reason",
    [
        ("ratings.csv", "1,2,good,1000", "ratings.csv:42: column 'rating' is 'good', not float"),
        ("ratings.csv", "1,2", "ratings.csv:42: column 'timestamp' is None, not int"),
        ("movies.csv", "x,A,B", "movies.csv:6: column 'movieId' is 'x', not int"),
        ("content.jsonl", "{", "content.jsonl:2: is not JSON"),
        ("content.jsonl", "{}", "content.jsonl:2: has no 'movieId'"),
    ],
)
def test_bad_cell_of_the_source_is_named(source, tmp_path, file, line, reason):
    with (source / file).open("a") as out:
        out.write(("" if (source / file).read_text().endswith("\n") else "\n") + line + "\n")
    with pytest.raises(data.DataError) as caught:
        convert.movielens_small(source, tmp_path / "out")
    assert reason in str(caught.value)


def test_tags_given_after_the_training_part_are_left_out(source, tmp_path):
    convert.movielens_small(source, tmp_path / "out")
    assert data.read(tmp_path / "out").items[0].tags == ("funny", "a b")


def test_text_that_may_not_be_passed_on_is_left_out(source, tmp_path):
    convert.movielens_small(source, tmp_path / "out")
    assert all(b"secret" not in path.read_bytes() for path in (tmp_path / "out").iterdir() if path.suffix != ".gz")


def test_conversion_is_reproducible(source, tmp_path):
    for name in ("one", "two"):
        convert.movielens_small(source, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_sample_is_what_the_converter_makes(shared_data, tmp_path):
    convert.movielens_small(shared_data / "ml-latest-small", tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (SAMPLE / path.name).read_bytes()


def test_sample_is_valid_small_and_attributed():
    dataset = data.read(SAMPLE)
    assert (len(dataset.items), dataset.rows) == (9742, 100836)
    files = [path for path in SAMPLE.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 6_000_000
    assert {"ATTRIBUTION.md", "MOVIELENS-README.txt"} <= {path.name for path in files}
    assert not any(item.image for item in dataset.items)


def test_sample_tells_nothing_that_was_only_known_later(shared_data):
    valid_from = json.loads((SAMPLE / "split.json").read_text())["valid_from"]
    with (shared_data / "ml-latest-small" / "tags.csv").open(encoding="utf-8") as lines:
        given = {(row["movieId"], " ".join(row["tag"].split()).lower()) for row in csv.DictReader(lines) if int(row["timestamp"]) < valid_from}
    for item in data.read(SAMPLE).items:
        assert all((item.id, tag) in given for tag in item.tags)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return write_movielens_1m(tmp_path_factory.mktemp("ml") / "ml-1m")


def rows_of_items(dataset):
    return {item.id: np.flatnonzero(dataset.item == place) for place, item in enumerate(dataset.items)}


def test_new_items_are_a_fifth_of_the_permuted_ids_and_all_their_rows_the_test(large, tmp_path):
    convert.movielens_1m(large, tmp_path, "B", posters=False)
    dataset = data.read(tmp_path)
    expected = np.random.RandomState(7).permutation(np.arange(101, 115))[:2]
    assert dataset.held_out_items == {str(item) for item in expected}
    assert {item for item, rows in rows_of_items(dataset).items() if (dataset.split[rows] == TEST).any()} == dataset.held_out_items
    assert (dataset.split[np.isin(dataset.item, [int(item) - 101 for item in expected])] == TEST).all()


def test_text_is_the_abstract_or_else_the_plot_and_tags_are_the_credits(large, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(large, source)
    movies = [json.loads(line) for line in (source / "content.jsonl").read_text("utf-8").splitlines()]
    movies[0] |= {"abstract_dbpedia": "An abstract.", "plot_full": "A plot.", "rated": "PG", "country": "USA, France", "language": "N/A", "n_ratings": 9}
    movies[0] |= {"director": "Ann Lee", "writer": "Ann Lee (story), Bo Ek (screenplay by)", "actors": "Bo Ek, , Cy Oh"}
    movies[1] |= {"abstract_dbpedia": None, "plot_full": "The whole plot."}
    (source / "content.jsonl").write_text("".join(json.dumps(movie) + "\n" for movie in movies), "utf-8")
    convert.movielens_1m(source, tmp_path / "out", "A", posters=False)
    items = data.read(tmp_path / "out").items
    assert items[0].text == "An abstract." and items[1].text == "The whole plot." and items[2].text == movies[2]["plot_short"]
    assert items[0].tags == ("PG", "USA", "France", "Ann Lee", "Bo Ek", "Cy Oh") and items[1].tags == ()
    convert.movielens_1m(source, tmp_path / "plots", "A", posters=False, text="plot")
    plots = data.read(tmp_path / "plots").items
    assert plots[0].text == "A plot." and [item.text for item in plots[1:]] == [item.text for item in items[1:]] and plots[0].tags == items[0].tags


def test_warm_up_is_the_first_60_rows_of_each_new_item_and_rare_items_are_out(large, tmp_path):
    convert.movielens_1m(large, tmp_path, "C", posters=False)
    dataset = data.read(tmp_path)
    assert dataset.rows == 8 * 210 + 4 * 80
    for item, rows in rows_of_items(dataset).items():
        if item in dataset.held_out_items:
            assert dataset.split[rows].tolist() == [HELD_OUT] * 60 + [TEST] * 20
        else:
            assert len(rows) in (0, 210) and np.isin(dataset.split[rows], [TRAIN, VALID]).all()
    assert len(dataset.held_out_items) == 4


def test_whole_set_with_another_test_part_than_figures_are_reported_of_is_refused(large, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "_WHOLE_ROWS", 8 * 210 + 4 * 80 + 2 * 10)
    with pytest.raises(data.DataError, match=r"gives 4 new items and 80 test rows in protocol C; expected are \(970, 58240\)"):
        convert.movielens_1m(large, tmp_path, "C", posters=False)


def test_protocol_of_new_items_has_the_published_size(shared_data, tmp_path):
    convert.movielens_1m(shared_data / "ml-1m", tmp_path, "B", posters=False)
    dataset = data.read(tmp_path)
    assert len(dataset.held_out_items) == 729 and (dataset.split == TEST).sum() == 201_335


def test_protocol_of_time_has_the_published_sizes_and_pictures(shared_data, tmp_path):
    convert.movielens_1m(shared_data / "ml-1m", tmp_path, "A", image_features="pca128")
    dataset = data.read(tmp_path)
    assert np.bincount(dataset.split).tolist() == [799_835, 99_981, 99_980]
    assert sum(item.image is not None for item in dataset.items) == sum(item.image_features is not None for item in dataset.items) == 3402
    assert all(set(profile) == {"gender", "age", "occupation"} for profile in dataset.profiles)


def test_warm_up_of_new_items_is_held_out(shared_data, tmp_path):
    convert.movielens_1m(shared_data / "ml-1m", tmp_path, "C", posters=False)
    dataset = data.read(tmp_path)
    new = np.array([item.id in dataset.held_out_items for item in dataset.items])[dataset.item]
    assert np.bincount(dataset.item[dataset.split == HELD_OUT]).max() == 60
    assert len(dataset.held_out_items) == 970 and (dataset.split == TEST).sum() == 58_240
    assert (dataset.split[new] >= TEST).all() and np.isin(dataset.split[~new], [TRAIN, VALID]).all()
