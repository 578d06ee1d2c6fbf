"""Rows on disk: what was written is what is read."""

import json

import numpy as np
import pytest

from keras_kd.data.errors import DataError
from keras_kd.data.rows import Rows
from keras_kd.data.rows import as_keys
from keras_kd.data.rows import copy_rows
from keras_kd.data.rows import open_or_write_rows
from keras_kd.data.rows import target_key
from keras_kd.data.rows import write_rows

TOKENS = [[2, 7, 3], [2, 3], [], [2, 9, 9, 9, 3]]
TEXTS = ["wéi €", "", "\U0001f600 two\nlines", "plain"]


def records():
    for index, (tokens, text) in enumerate(zip(TOKENS, TEXTS)):
        yield {
            "example_id": f"file.tsv:{index}",
            "target_key": target_key(tokens),
            "token_ids": tokens,
            "text": text,
            "label": index,
            "label_weight": index / 2,
        }


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows", records(), {"of": ["a", "test"]})


def as_lists(rows, name="token_ids"):
    return [rows.row(name, position).tolist() for position in range(len(rows))]


class TestRoundTrip:
    def test_every_kind_of_column(self, rows, tmp_path):
        for one in (rows, Rows.open(tmp_path / "rows")):
            assert len(one) == 4
            assert as_lists(one) == TOKENS
            assert [one.text("text", i) for i in range(4)] == TEXTS
            assert one.text("example_id", 2) == "file.tsv:2"
            np.testing.assert_array_equal(one.column("label"), [0, 1, 2, 3])
            np.testing.assert_array_equal(
                one.column("label_weight"), [0, 0.5, 1, 1.5]
            )
            assert [bytes(key) for key in one.column("target_key")] == [
                target_key(tokens) for tokens in TOKENS
            ]
            np.testing.assert_array_equal(
                one.lengths("token_ids"), [3, 2, 0, 5]
            )

    def test_random_rows(self, tmp_path):
        generator = np.random.default_rng(0)
        lists = [
            generator.integers(0, 2**31 - 1, generator.integers(0, 20)).tolist()
            for _ in range(300)
        ]
        rows = write_rows(
            tmp_path / "rows", ({"token_ids": ids} for ids in lists), {}
        )
        positions = generator.permutation(300)
        view = rows.select(positions)
        assert as_lists(view) == [lists[position] for position in positions]
        np.testing.assert_array_equal(
            view.lengths("token_ids"), [len(lists[p]) for p in positions]
        )

    def test_columns_are_mapped_and_not_read(self, rows):
        assert isinstance(rows.row("token_ids", 0), np.memmap)

    @pytest.mark.parametrize("count", [4, 6])
    def test_rows_of_a_folder_that_is_replaced_stay_what_they_were(
        self, tmp_path, count
    ):
        folder = tmp_path / "rows"
        before = write_rows(folder, records(), {})
        others = [{"token_ids": [7], "label": 9}] * count
        after = write_rows(folder, others, {})
        assert as_lists(before) == TOKENS
        assert before.column("label").tolist() == [0, 1, 2, 3]
        assert as_lists(after) == [[7]] * count

    def test_rows_without_any_tokens(self, tmp_path):
        rows = write_rows(
            tmp_path / "rows", [{"token_ids": []}, {"token_ids": []}], {}
        )
        assert as_lists(rows) == [[], []]

    def test_notes_may_be_counted_while_writing(self, tmp_path):
        seen = []

        def counted():
            for record in records():
                seen.append(record)
                yield record

        rows = write_rows(
            tmp_path / "rows", counted(), {}, notes=lambda: {"n": len(seen)}
        )
        assert rows.parts[0].notes == {"n": 4}


class TestViews:
    def test_select_by_numbers_and_by_mask(self, rows):
        assert as_lists(rows.select([3, 0])) == [TOKENS[3], TOKENS[0]]
        kept = rows.select(rows.column("label") > 1)
        assert [kept.text("text", i) for i in range(2)] == TEXTS[2:]

    def test_a_view_of_a_view(self, rows):
        view = rows.select([3, 1, 0]).select([2, 0])
        np.testing.assert_array_equal(view.column("label"), [0, 3])

    def test_join_keeps_the_order_of_parts_and_views(self, rows, tmp_path):
        other = write_rows(
            tmp_path / "other",
            [{**record, "label": record["label"] + 10} for record in records()],
            {},
        )
        joined = Rows.join([rows.select([2, 0]), other, rows.select([3])])
        np.testing.assert_array_equal(
            joined.column("label"), [2, 0, 10, 11, 12, 13, 3]
        )
        assert joined.text("text", 0) == TEXTS[2]
        np.testing.assert_array_equal(
            joined.lengths("token_ids"), [0, 3, 3, 2, 0, 5, 5]
        )
        again = Rows.join([joined, joined.select([1])])
        np.testing.assert_array_equal(
            again.column("label"), [2, 0, 10, 11, 12, 13, 3, 0]
        )

    def test_join_has_the_columns_that_all_have(self, rows, tmp_path):
        other = write_rows(tmp_path / "other", [{"token_ids": [1]}], {})
        assert Rows.join([rows, other]).columns == {"token_ids"}

    def test_join_of_whole_and_other_numbers_cuts_nothing_off(self, tmp_path):
        parts = [
            write_rows(tmp_path / str(value), [{"label": value}], {})
            for value in (1, 0.5)
        ]
        np.testing.assert_array_equal(
            Rows.join(parts).column("label"), [1.0, 0.5]
        )

    def test_an_empty_view(self, rows):
        empty = rows.select([])
        assert len(empty) == 0
        assert empty.lengths("token_ids").tolist() == []
        assert empty.column("label").tolist() == []
        assert empty.keys().tolist() == []
        joined = Rows.join([empty, rows.select([1])])
        assert joined.column("label").tolist() == [1]

    def test_padded_on_the_right_with_zero(self, rows):
        np.testing.assert_array_equal(
            rows.padded("token_ids", [1, 0]), [[2, 3, 0], [2, 7, 3]]
        )
        np.testing.assert_array_equal(
            rows.padded("token_ids", [1, 3], length=4),
            [[2, 3, 0, 0], [2, 9, 9, 9]],
        )
        assert rows.padded("token_ids", [0]).dtype == "int32"

    def test_copy_stands_alone(self, rows, tmp_path):
        joined = Rows.join([rows.select([3, 1]), rows.select([2])])
        copy = copy_rows(tmp_path / "copy", joined, notes={"why": "a test"})
        assert len(copy.parts) == 1
        assert as_lists(copy) == [TOKENS[3], TOKENS[1], TOKENS[2]]
        assert [copy.text("text", i) for i in range(3)] == [
            TEXTS[3],
            TEXTS[1],
            TEXTS[2],
        ]
        np.testing.assert_array_equal(
            copy.column("label_weight"), [1.5, 0.5, 1]
        )
        assert (copy.keys() == joined.keys()).all()
        assert copy.parts[0].specs == rows.parts[0].specs
        assert copy.parts[0].notes == {"why": "a test"}


class TestTargetKey:
    def test_it_hashes_what_the_teacher_reads_and_where_a_field_ends(self):
        keys = {
            target_key([1, 2], [3]),
            target_key([1], [2, 3]),
            target_key([1, 2, 3]),
            target_key([1, 2, 3], []),
            target_key([3, 2, 1]),
            target_key([]),
        }
        assert len(keys) == 6
        assert {len(key) for key in keys} == {16}

    def test_lists_and_arrays_of_any_width_are_alike(self):
        assert target_key([1, 2]) == target_key(np.array([1, 2], "int64"))
        assert target_key([1, 2]) == target_key(np.array([1, 2], "uint8"))

    def test_keys_with_zero_bytes_stay_apart(self):
        # NumPy's strings drop zero bytes at the end when they are read.
        array = np.zeros((3, 16), "uint8")
        array[1, 0] = array[2, 15] = 1
        keys = as_keys(array)
        assert len(np.unique(keys)) == 3
        assert (keys == as_keys(array.copy())).all()


class TestBadInput:
    def test_no_rows(self, tmp_path):
        with pytest.raises(DataError, match="without a single row"):
            write_rows(tmp_path / "rows", iter([]), {})
        assert list(tmp_path.iterdir()) == []

    def test_a_source_that_breaks_off_leaves_nothing(self, tmp_path):
        def broken():
            yield from records()
            raise DataError("line 5 is not UTF-8")

        with pytest.raises(DataError, match="line 5"):
            write_rows(tmp_path / "rows", broken(), {})
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "second", [{"token_ids": [1]}, {"token_ids": [1], "label": 0, "x": 1}]
    )
    def test_rows_with_other_columns(self, tmp_path, second):
        rows = [{"token_ids": [1, 2], "label": 1}, second]
        with pytest.raises(DataError) as error:
            write_rows(tmp_path / "rows", rows, {})
        assert f"Row 1 has the columns {sorted(second)}" in str(error.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (1, 0.5),
            (1, float("nan")),
            (1, "1"),
            (1, [1]),
            (1.0, None),
            ("text", [1, 2]),
            ("text", None),
            ([1], 1),
            ([1], [0.5]),
            (b"0123", b"01234"),
        ],
    )
    def test_a_value_that_a_column_cannot_hold(self, tmp_path, first, second):
        # NumPy cuts 0.5 down to 0 without a word.
        rows = [{"a": first}, {"a": first}, {"a": second}]
        with pytest.raises(DataError, match="Column 'a' holds .*Received: "):
            write_rows(tmp_path / "rows", rows, {})
        assert list(tmp_path.iterdir()) == []

    def test_a_whole_number_in_a_column_of_floats(self, tmp_path):
        rows = [{"a": np.float32(0.25)}, {"a": 1}, {"a": True}]
        written = write_rows(tmp_path / "rows", rows, {})
        np.testing.assert_array_equal(written.column("a"), [0.25, 1, 1])

    def test_a_folder_with_other_things_is_not_replaced(self, tmp_path):
        (tmp_path / "rows").mkdir()
        (tmp_path / "rows" / "train.csv").write_text("text,label\n")
        with pytest.raises(FileExistsError, match="train.csv"):
            write_rows(tmp_path / "rows", records(), {})
        assert (tmp_path / "rows" / "train.csv").exists()

    def test_a_position_behind_the_end(self, rows):
        with pytest.raises(IndexError):
            rows.column("label", [4])


class TestOpenOrWrite:
    def test_the_same_fingerprint_reads_no_source(self, tmp_path):
        fingerprint = {"columns": ("text", "label"), "length": 8}
        calls = []

        def make():
            calls.append(1)
            return records()

        for _ in range(2):
            rows = open_or_write_rows(tmp_path / "rows", make, fingerprint)
            assert as_lists(rows) == TOKENS
        assert len(calls) == 1

    def test_another_fingerprint_makes_the_rows_anew(self, tmp_path):
        folder = tmp_path / "rows"
        open_or_write_rows(folder, records, {"length": 8})
        rows = open_or_write_rows(
            folder, lambda: [{"token_ids": [5]}], {"length": 4}
        )
        assert as_lists(rows) == [[5]]
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["fingerprint"] == {"length": 4}

    def test_making_anew_that_fails_keeps_the_old_rows(self, tmp_path):
        folder = tmp_path / "rows"
        open_or_write_rows(folder, records, {"length": 8})
        with pytest.raises(DataError):
            open_or_write_rows(folder, list, {"length": 4})
        assert as_lists(Rows.open(folder)) == TOKENS
