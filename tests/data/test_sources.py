"""Reading: every format gives the same rows, every fault says where it is."""

import codecs
import gzip
import json
import socket
import time
import tracemalloc

import pytest

from keras_kd.data.errors import DataError
from keras_kd.data.example import Example
from keras_kd.data.sources import read_examples
from keras_kd.data.sources import resolve_labels

ROWS = [("A fine film.", "pos"), ("Très long, trop long.", "neg")]


def write(path, content, encoding="utf-8"):
    if isinstance(content, str):
        content = content.encode(encoding)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(content)
    return path


def fails(*words, source, **arguments):
    """Reads to the end, and checks the words of the error it gives."""
    with pytest.raises(DataError) as caught:
        list(read_examples(source, **arguments))
    for word in words:
        assert str(word) in str(caught.value)


CONTENTS = {
    "rows.csv": 'label,text\npos,A fine film.\nneg,"Très long, trop long."\n',
    "rows.tsv": "label\ttext\npos\tA fine film.\nneg\tTrès long, trop long.\n",
    "rows.jsonl": "".join(
        json.dumps({"text": text, "label": label}) + "\n"
        for text, label in ROWS
    ),
    "rows.json": json.dumps(
        [{"text": text, "label": label} for text, label in ROWS], indent=1
    ),
}


class TestFormats:
    @pytest.mark.parametrize("ending", ["", ".gz"])
    @pytest.mark.parametrize("name", CONTENTS)
    def test_every_format_gives_the_same_rows(self, tmp_path, name, ending):
        path = write(tmp_path / f"{name}{ending}", CONTENTS[name])
        examples = list(read_examples(path))
        assert [(*e.fields, e.label) for e in examples] == ROWS
        first = {"rows.csv": 2, "rows.tsv": 2}.get(name, 1)
        ids = [f"{path.name}:{first}", f"{path.name}:{first + 1}"]
        assert [e.example_id for e in examples] == ids

    def test_an_example_is_frozen_and_hashable(self):
        example = Example("a:1", ("text",))
        assert example.label is None
        assert len({example, Example("a:1", ("text",))}) == 1

    def test_str_paths_are_read(self, tmp_path):
        path = write(tmp_path / "rows.csv", CONTENTS["rows.csv"])
        assert len(list(read_examples(str(path)))) == 2

    def test_json_lines_in_a_json_file(self, tmp_path):
        path = write(tmp_path / "rows.json", CONTENTS["rows.jsonl"])
        assert [e.label for e in read_examples(path)] == ["pos", "neg"]

    def test_parquet(self, tmp_path):
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        path = tmp_path / "rows.parquet"
        table = {
            "text": ["one", None, "three"],
            "other": ["a", "b", "c"],
            "label": [1, None, 0],
        }
        parquet.write_table(pyarrow.table(table), path, row_group_size=2)
        examples = list(read_examples(path, text_pair="other"))
        assert examples == [
            Example("rows.parquet:1", ("one", "a"), "1"),
            Example("rows.parquet:2", ("", "b"), None),
            Example("rows.parquet:3", ("three", "c"), "0"),
        ]

    @pytest.mark.parametrize("name", ["lines.txt", "lines.txt.gz"])
    def test_text_lines_are_kept_even_if_empty(self, tmp_path, name):
        path = write(tmp_path / name, "one\r\n\nthree \u2028 still three")
        assert list(read_examples(path)) == [
            Example(f"{name}:1", ("one",)),
            Example(f"{name}:2", ("",)),
            Example(f"{name}:3", ("three \u2028 still three",)),
        ]

    def test_csv_fields_may_hold_line_ends_and_quotes(self, tmp_path):
        content = 'text,label\n"two\r\nlines, ""quoted""",1\r\n5" pipe,0\n'
        path = write(tmp_path / "rows.csv", content)
        first, second = read_examples(path)
        assert first.fields == ('two\r\nlines, "quoted"',)
        assert second.fields == ('5" pipe',)
        # The id is the line in which the row begins.
        assert (first.example_id, second.example_id) == (
            "rows.csv:2",
            "rows.csv:4",
        )

    def test_tsv_quotes_are_plain_characters(self, tmp_path):
        path = write(tmp_path / "a.tsv", 'text\tlabel\n"half open\t1\nb"c\t0\n')
        texts = [e.fields[0] for e in read_examples(path)]
        assert texts == ['"half open', 'b"c']

    def test_a_field_of_several_hundred_kilobytes(self, tmp_path):
        path = write(tmp_path / "a.csv", f"text,label\n{'long ' * 60000},1\n")
        (example,) = read_examples(path)
        assert len(example.fields[0]) == 300000

    def test_columns_by_index_mean_no_header(self, tmp_path):
        path = write(
            tmp_path / "cola.tsv", "gj04\t1\t\tIt rode.\nk\t0\t*\tNo\n"
        )
        examples = list(read_examples(path, text=3, label=1, id_column=0))
        assert examples[0] == Example("gj04", ("It rode.",), "1")
        assert len(examples) == 2

    def test_pairs_ids_and_another_delimiter(self, tmp_path):
        path = write(tmp_path / "a.csv", "n;one;two;y\n7;a;b;yes\n")
        (example,) = read_examples(
            path,
            text="one",
            text_pair="two",
            label="y",
            id_column="n",
            delimiter=";",
        )
        assert example == Example("7", ("a", "b"), "yes")

    def test_without_labels(self, tmp_path):
        path = write(tmp_path / "rows.csv", CONTENTS["rows.csv"])
        assert {e.label for e in read_examples(path, label=None)} == {None}

    def test_an_empty_label_cell_is_an_unlabelled_row(self, tmp_path):
        path = write(tmp_path / "a.csv", "text,label\na,\nb, 1 \n")
        assert [e.label for e in read_examples(path)] == [None, "1"]
        path = write(tmp_path / "a.jsonl", '{"text": "a", "label": null}\n')
        assert [e.label for e in read_examples(path)] == [None]

    def test_json_labels_of_other_types(self, tmp_path):
        rows = [{"text": "a", "label": value} for value in (1, 2.5, True, "x")]
        path = write(tmp_path / "a.json", json.dumps(rows))
        labels = [e.label for e in read_examples(path)]
        assert labels == ["1", "2.5", "true", "x"]

    def test_blank_lines_are_skipped_where_rows_have_columns(self, tmp_path):
        path = write(tmp_path / "a.csv", "text,label\na,1\n\nb,0\n\n")
        ids = [e.example_id for e in read_examples(path)]
        assert ids == ["a.csv:2", "a.csv:4"]
        path = write(tmp_path / "one.csv", "text\na\n\nb\n")
        examples = read_examples(path, label=None)
        assert [e.fields[0] for e in examples] == ["a", "", "b"]

    def test_encodings_and_byte_order_marks(self, tmp_path):
        content = CONTENTS["rows.csv"]
        marked = codecs.BOM_UTF8 + content.encode("utf-8")
        assert len(list(read_examples(write(tmp_path / "m.csv", marked)))) == 2
        for encoding in ("latin-1", "utf-16", "cp1252"):
            path = write(tmp_path / "a.csv", content, encoding)
            examples = list(read_examples(path, encoding=encoding))
            assert examples[1].fields[0] == "Très long, trop long."
        path = write(tmp_path / "z.tsv", "text\tlabel\n好电影\t1\n", "gb18030")
        (example,) = read_examples(path, encoding="gb18030")
        assert example.fields[0] == "好电影"

    @pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl", "a.txt"])
    def test_memory_is_flat(self, tmp_path, name):
        line = "word " * 100
        lines = {
            "a.csv.gz": f"{line},1\n",
            "a.jsonl": json.dumps({"text": line, "label": 1}) + "\n",
            "a.txt": f"{line}\n",
        }
        header = "text,label\n" if name == "a.csv.gz" else ""
        path = write(tmp_path / name, header + lines[name] * 10000)
        examples = read_examples(path)
        tracemalloc.start()
        assert sum(1 for _ in examples) in (9999, 10000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1e6  # The file holds five megabytes.


class TestFaults:
    def test_missing_file_and_folder(self, tmp_path):
        fails("no.csv", "not there", source=tmp_path / "no.csv")
        (tmp_path / "folder.csv").mkdir()
        fails("is a folder", source=tmp_path / "folder.csv")

    def test_unknown_kind(self, tmp_path):
        for name in ("rows.xlsx", "rows", "rows.parquet.gz", "rows.csv.zip"):
            path = write(tmp_path / name, "text")
            fails(name, ".jsonl", "tfds:", source=path)

    def test_empty_file(self, tmp_path):
        fails("empty", source=write(tmp_path / "a.csv", ""))
        fails("empty", source=write(tmp_path / "a.tsv.gz", ""))
        fails("no rows", source=write(tmp_path / "a.jsonl", "\n"))
        fails("no rows", source=write(tmp_path / "a.json", "[]"))

    def test_header_only(self, tmp_path):
        for name, header in (("a.csv", "text,label\n"), ("a.tsv", "text\n")):
            path = write(tmp_path / name, header)
            label = "label" if "label" in header else None
            fails(path, "no rows", source=path, label=label)

    def test_faults_in_the_header_are_found_at_once(self, tmp_path):
        path = write(tmp_path / "a.csv", "text,label\n")
        with pytest.raises(DataError, match="no rows"):
            read_examples(path)

    @pytest.mark.parametrize(
        ("name", "content", "word"),
        [
            ("a.csv", "text\tlabel\na\t1\n", "delimiter='\\t'"),
            ("a.csv", "text;label\na;1\n", "semicolon"),
            ("a.csv", '\ufeff"text";"label"\n"a";"1"\n', "delimiter=';'"),
            ("a.tsv", "text,label\na,1\n", "delimiter=','"),
            ("a.tsv", "text|label|more\na|1|2\n", "3 columns"),
        ],
    )
    def test_wrong_delimiter_says_which(self, tmp_path, name, content, word):
        path = write(tmp_path / name, content)
        fails(path, "delimiter seems wrong", word, source=path)

    def test_wrong_delimiter_by_index(self, tmp_path):
        path = write(tmp_path / "a.csv", "1;a\n")
        fails("no column 1", "semicolon", source=path, text=1, label=0)

    def test_a_delimiter_has_one_character(self, tmp_path):
        path = write(tmp_path / "a.csv", CONTENTS["rows.csv"])
        fails("one character", "'::'", source=path, delimiter="::")

    def test_a_tab_as_it_is_typed(self, tmp_path):
        path = write(tmp_path / "a.csv", "text\tlabel\na\t1\n")
        (row,) = read_examples(path, delimiter=r"\t")
        assert (row.fields, row.label) == (("a",), "1")

    def test_missing_column_lists_what_there_is(self, tmp_path):
        path = write(tmp_path / "a.csv", "sentence,Label\na,1\n")
        fails("no column 'text'", "['sentence', 'Label']", "index", source=path)
        fails("Did you mean 'Label'", source=path, text="sentence")
        path = write(tmp_path / "a.jsonl", '{"sentence": "a"}\n')
        fails("row 1", "no column 'text'", "['sentence']", source=path)

    @pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
    @pytest.mark.parametrize("role", ["text", "text_pair", "label"])
    def test_missing_column_says_how_it_is_named(self, tmp_path, name, role):
        path = tmp_path / name
        if name == "a.parquet":
            pyarrow = pytest.importorskip("pyarrow")
            parquet = pytest.importorskip("pyarrow.parquet")
            parquet.write_table(pyarrow.table({"a": ["x"], "b": ["y"]}), path)
        else:
            csv = name == "a.csv"
            write(path, "a,b\nx,y\n" if csv else '{"a": "x", "b": "y"}\n')
        columns = {"text": "a", "label": "b", role: "c"}
        with pytest.raises(DataError, match=f"another one with `{role}`") as e:
            list(read_examples(path, **columns))
        assert ("without labels" in str(e.value)) is (role == "label")

    def test_the_suggested_name_is_that_of_the_file(self, tmp_path):
        path = write(tmp_path / "a.csv", " text ,label\na,1\n")
        fails("Did you mean ' text '?", source=path)
        assert next(read_examples(path, text=" text ")).fields == ("a",)

    def test_a_key_that_a_later_row_lacks(self, tmp_path):
        content = '{"text": "a", "label": 1}\n\n{"text": "b"}\n'
        path = write(tmp_path / "a.jsonl", content)
        fails(path, "row 3", "no column 'label'", source=path)

    def test_missing_column_of_parquet(self, tmp_path):
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        path = tmp_path / "a.parquet"
        parquet.write_table(pyarrow.table({"sentence": ["a"]}), path)
        fails("no column 'text'", "['sentence']", source=path)
        fails("no column 'label'", source=path, text="sentence")
        parquet.write_table(pyarrow.table({"text": [""][:0]}), path)
        fails("no rows", source=path, label=None)

    def test_a_file_that_is_no_parquet(self, tmp_path):
        pytest.importorskip("pyarrow")
        path = write(tmp_path / "a.parquet", "text,label\na,1\n")
        fails(path, "Parquet", source=path)

    def test_two_columns_of_one_name(self, tmp_path):
        path = write(tmp_path / "a.csv", "text,label,text\na,1,b\n")
        fails("2 columns are called 'text'", source=path)

    def test_index_out_of_range(self, tmp_path):
        path = write(tmp_path / "a.tsv", "a\tb\n")
        fails("no column 2", "has 2", source=path, text=2, label=None)
        fails("no column -1", source=path, text=-1, label=None)

    def test_names_and_indices_do_not_mix(self, tmp_path):
        path = write(tmp_path / "a.tsv", "a\tb\n")
        fails("by name and by index", "--unlabelled", source=path, text=0)
        with pytest.raises(DataError, match=r"indices if not\.$"):
            read_examples(path, text="a", label=0)

    def test_indices_are_for_delimited_files(self, tmp_path):
        path = write(tmp_path / "a.jsonl", CONTENTS["rows.jsonl"])
        fails(".tsv. Received: text=0, label=1.", source=path, text=0, label=1)

    @pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.txt"])
    def test_other_files_are_read_without_the_delimiter(self, tmp_path, name):
        """A run has one delimiter, and files of several kinds."""
        path = write(tmp_path / name, CONTENTS.get(name, "A fine film.\n"))
        first = next(read_examples(path, delimiter=";"))
        assert first.fields == ("A fine film.",)

    def test_parquet_is_read_without_the_delimiter(self, tmp_path):
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        path = tmp_path / "a.parquet"
        parquet.write_table(pyarrow.table({"text": ["a"]}), path)
        (row,) = read_examples(path, label=None, delimiter=";")
        assert row.fields == ("a",)

    def test_text_files_have_no_columns(self, tmp_path):
        path = write(tmp_path / "a.txt", "a\n")
        fails("one text a line", source=path, text_pair="b")
        fails("one text a line", "--unlabelled", source=path, label="stars")
        assert len(list(read_examples(path, label=None))) == 1

    def test_undecodable_bytes(self, tmp_path):
        content = CONTENTS["rows.csv"].encode("latin-1")
        offset = content.index(0xE8)
        path = write(tmp_path / "a.csv", content)
        words = (path, "line 3", f"byte {offset}", "0xe8", "latin-1")
        fails(*words, source=path)
        path = write(tmp_path / "a.txt.gz", content)
        fails("line 3", f"byte {offset}", source=path)
        path = write(tmp_path / "m.csv", codecs.BOM_UTF8 + content)
        fails("line 3", f"byte {offset + 3}", source=path)

    def test_utf16_is_recognised(self, tmp_path):
        path = write(tmp_path / "a.csv", CONTENTS["rows.csv"], "utf-16")
        fails("byte 0", "encoding='utf-16'", source=path)
        path = write(tmp_path / "b.csv", CONTENTS["rows.csv"][:-1])
        fails("is not utf-16", source=path, encoding="utf-16")

    def test_unknown_encoding(self, tmp_path):
        path = write(tmp_path / "a.csv", CONTENTS["rows.csv"])
        fails("Unknown encoding", "'utf-9'", source=path, encoding="utf-9")

    def test_ragged_rows(self, tmp_path):
        path = write(tmp_path / "a.csv", "text,label\na,1\nb, but,0\n")
        fails(path, "line 3", "3 columns", "Expected 2", source=path)
        path = write(tmp_path / "a.tsv", "text\tlabel\na\t1\nb\n")
        fails(path, "line 3", "1 columns", "Expected 2", source=path)

    def test_quotes_that_do_not_match(self, tmp_path):
        path = write(tmp_path / "a.csv", 'text,label\na,1\n"b,0\nc,1\n')
        fails(path, "begins in line 3", "end of data", source=path)
        path = write(tmp_path / "b.csv", 'text,label\n"b"c,0\n')
        fails("begins in line 2", "written twice", source=path)

    def test_json_that_does_not_parse(self, tmp_path):
        path = write(tmp_path / "a.jsonl", CONTENTS["rows.jsonl"] + "{no}\n")
        fails(path, "line 3", "character 2", source=path)
        path = write(tmp_path / "a.json", '[\n{"text": "a"},\n{"text": }\n]')
        fails(path, "line 3", source=path)
        path = write(tmp_path / "b.jsonl", "[1, 2]\n")
        fails("row 1", "(list)", "JSON object", source=path)
        path = write(tmp_path / "c.jsonl", "[" * 100000)
        fails("line 1", source=path)

    @pytest.mark.parametrize("label", ["nan", "NaN", "inf", "-Infinity"])
    def test_labels_that_are_no_finite_numbers(self, tmp_path, label):
        path = write(tmp_path / "a.csv", f"text,label\na,1\nb,{label}\n")
        fails(path, "row 3", label, "not a finite", source=path)

    def test_nan_in_json_and_parquet(self, tmp_path):
        path = write(tmp_path / "a.jsonl", '{"text": "a", "label": NaN}\n')
        fails("row 1", "nan", "not a finite", source=path)
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        path = tmp_path / "a.parquet"
        table = {"text": ["a", "b"], "label": [1.0, float("inf")]}
        parquet.write_table(pyarrow.table(table), path)
        fails("row 2", "inf", source=path)

    def test_values_of_another_type(self, tmp_path):
        path = write(tmp_path / "a.jsonl", '{"text": 5, "label": 1}\n')
        fails("row 1", "text column", "(int)", "a string", source=path)
        path = write(tmp_path / "b.jsonl", '{"text": "a", "label": [1]}\n')
        fails("row 1", "label column", "(list)", source=path)
        path = write(tmp_path / "c.jsonl", '{"text": "a", "id": null}\n')
        fails("row 1", "id is empty", source=path, label=None, id_column="id")

    def test_half_a_surrogate_pair(self, tmp_path):
        path = write(tmp_path / "a.jsonl", '{"text": "ab\\ud83d"}\n')
        fails("row 1", "surrogate", "character 2", source=path, label=None)

    @pytest.mark.parametrize("label", [r'"ab\ud83d"', r'["x", "ab\ud83d"]'])
    def test_half_a_surrogate_pair_in_a_label(self, tmp_path, label):
        row = f'{{"text": "a", "label": {label}}}\n'
        path = write(tmp_path / "a.jsonl", row)
        fails("row 1", "label column", "character 2", source=path)

    def test_damaged_gzip(self, tmp_path):
        path = write(tmp_path / "a.csv.gz", CONTENTS["rows.csv"])
        path.write_bytes(path.read_bytes()[:-12])
        fails(path, "no whole gzip", source=path)
        (tmp_path / "b.csv.gz").write_text("text,label\na,1\n")
        fails("no whole gzip", source=tmp_path / "b.csv.gz")

    def test_files_have_no_splits(self, tmp_path):
        path = write(tmp_path / "a.csv", CONTENTS["rows.csv"])
        fails("split='train'", "tfds:", source=path, split="train")

    def test_a_text_column_is_needed(self, tmp_path):
        fails("text=None", source=tmp_path / "a.csv", text=None)


class TestPreparedDatasets:
    @pytest.fixture
    def tfds(self, tmp_path, monkeypatch):
        """TFDS with an empty folder for data, and without a network."""
        tfds = pytest.importorskip("tensorflow_datasets")
        builder = tfds.builder

        def local_builder(name, **arguments):
            return builder(name, data_dir=str(tmp_path), **arguments)

        def refuse(*arguments):
            raise OSError("no network in this test")

        monkeypatch.setattr(tfds, "builder", local_builder)
        monkeypatch.setattr(socket.socket, "connect", refuse)
        return tfds

    def test_imdb_reviews(self, tfds):
        with tfds.testing.mock_data(num_examples=5):
            source = "tfds:imdb_reviews/plain_text"
            examples = list(read_examples(source, split="train"))
        assert len(examples) == 5
        assert examples[0].example_id == f"{source}/train:1"
        assert all(e.label in ("neg", "pos") for e in examples)
        assert all(isinstance(e.fields[0], str) for e in examples)

    def test_glue(self, tfds):
        with tfds.testing.mock_data(num_examples=3):
            examples = list(
                read_examples(
                    "tfds:glue/sst2",
                    text="sentence",
                    id_column="idx",
                    split="validation",
                )
            )
            with pytest.raises(DataError, match="'text'.*'sentence'"):
                read_examples("tfds:glue/sst2", split="validation")
        assert {e.label for e in examples} <= {"negative", "positive"}
        assert all(e.example_id.isdigit() for e in examples)

    def test_not_prepared_does_not_hang(self, tfds):
        start = time.monotonic()
        fails(
            "imdb_reviews/plain_text",
            "not prepared",
            "download_and_prepare",
            source="tfds:imdb_reviews/plain_text",
            split="train",
        )
        assert time.monotonic() - start < 60

    def test_unknown_names_do_not_hang(self, tfds):
        start = time.monotonic()
        fails("'imdb_reviewz'", source="tfds:imdb_reviewz", split="train")
        fails("'glue/sst9'", source="tfds:glue/sst9", split="train")
        assert time.monotonic() - start < 60

    def test_a_split_is_needed(self, tfds):
        fails("needs a split", "train", source="tfds:imdb_reviews")

    def test_columns_have_names(self, tfds):
        source = "tfds:imdb_reviews"
        fails("by index", source=source, text=0, label=1, split="train")

    def test_prepared_data(self, tfds):
        class TinyReviews(tfds.core.GeneratorBasedBuilder):
            """Three sentences, the last one without a label."""

            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                classes = tfds.features.ClassLabel(names=["bad", "good"])
                features = {"text": tfds.features.Text(), "label": classes}
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features)
                )

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples()}

            def _generate_examples(self):
                for key, label in enumerate(("good", "bad", -1)):
                    yield key, {"text": f"C'était {key}", "label": label}

        tfds.builder("tiny_reviews").download_and_prepare()
        source = "tfds:tiny_reviews"
        examples = list(read_examples(source, split="train"))
        found = {e.fields[0]: e.label for e in examples}
        assert found == {
            "C'était 0": "good",
            "C'était 1": "bad",
            "C'était 2": None,
        }
        assert list(read_examples(source, split="train")) == examples
        assert len(list(read_examples(source, split="train[:2]"))) == 2
        fails("no split 'test'", "['train']", source=source, split="test")


class TestResolveLabels:
    def test_numbers_are_sorted_as_numbers(self):
        labels = ["10", "9", "-1", None, "9", "2.5"]
        assert resolve_labels(labels) == ["-1", "2.5", "9", "10"]

    def test_names_are_sorted_naturally(self):
        labels = iter(["class10", "class2", "alpha", "class2", "3"])
        assert resolve_labels(labels) == ["3", "alpha", "class2", "class10"]

    def test_no_label_at_all(self):
        with pytest.raises(DataError, match="No row has a label"):
            resolve_labels([None, None])

    def test_one_number_in_two_spellings(self):
        with pytest.raises(DataError, match="'1' and '1.0'.*same number"):
            resolve_labels(["0", "1", "1.0"])

    def test_lists_of_labels(self):
        with pytest.raises(DataError, match=r"\['a'\].*'multi_label'"):
            resolve_labels([("b", "a"), ("a",), None])
