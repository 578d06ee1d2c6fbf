"""Masks that are drawn once, and batches of them."""

import numpy as np
import pytest

from keras_kd.batch import NO_TOKEN
from keras_kd.data.fixed_masks import count_masks
from keras_kd.data.fixed_masks import fixed_batch
from keras_kd.data.fixed_masks import fixed_masks
from keras_kd.data.masking import TokenMasking
from keras_kd.data.token_outputs import TokenOutputs
from keras_kd.data.tokenization import Tokenizer
from tests import tiny

IDS = [[2, 9, 10, 11, 12, 3], [2, 13, 14, 3], [2, *range(5, 25), 3]]
NAMES = ["token_ids", "padding_mask", "mask_positions"]


@pytest.fixture(scope="module")
def masking(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.write_tokenizer(folder)
    return TokenMasking(Tokenizer.from_folder(folder), share=0.3)


@pytest.fixture
def rows(small_rows):
    return small_rows(IDS)


@pytest.fixture
def masked(rows, masking, tmp_path):
    return fixed_masks(tmp_path / "masks", rows, masking, 2, 0, {})


class Positions:
    """In place of a teacher's targets: the positions themselves."""

    def __init__(self, rows):
        self.by_key = {
            key: rows.row("mask_positions", i)
            for i, key in enumerate(rows.keys())
        }

    def lookup(self, keys):
        return {"of": TokenOutputs.join([self.by_key[key] for key in keys])}


def test_text_and_masks_together_are_the_text(masked, masking):
    assert len(masked) == 2 * len(IDS)
    for row in range(len(masked)):
        ids = masked.row("token_ids", row).copy()
        places = masked.row("mask_positions", row)
        assert (ids[places] != 0).all()
        ids[places] = masked.row("told", row)
        assert ids.tolist() == IDS[row % len(IDS)]
    masks = [masked.row("mask_positions", row).tolist() for row in (2, 5)]
    assert masks[0] != masks[1]
    counted = 2 * sum(max(1, round(0.3 * len(ids))) for ids in IDS)
    total = masked.lengths("mask_positions").sum()
    assert (
        total <= counted == 2 * count_masks(masked.select([0, 1, 2]), masking)
    )


def test_batches_take_the_masks_in_turn(masked):
    batches = [
        fixed_batch(masked, Positions(masked), NAMES, 3, [2, 0], None, epoch)
        for epoch in range(3)
    ]
    for epoch, (x, y) in enumerate(batches):
        rows = np.array([2, 0]) + 3 * (epoch % 2)
        for index, row in enumerate(rows):
            places = masked.row("mask_positions", row)
            told = masked.row("told", row)
            used = y["labels"][index] != NO_TOKEN
            assert x["mask_positions"][index, used].tolist() == places.tolist()
            assert y["labels"][index, used].tolist() == told.tolist()
            # What the teacher says of a mask stands beside it.
            assert y["teacher"]["of"][index, used].tolist() == places.tolist()
        assert x["token_ids"].shape == (2, 22)
        assert y["labels"].shape == x["mask_positions"].shape
    np.testing.assert_array_equal(
        batches[0][0]["token_ids"], batches[2][0]["token_ids"]
    )


def test_they_are_drawn_once(masked, rows, masking, tmp_path):
    again = fixed_masks(tmp_path / "masks", rows, None, 2, 0, {})
    np.testing.assert_array_equal(again.keys(), masked.keys())
    other = fixed_masks(tmp_path / "other", rows, masking, 2, 1, {})
    assert set(other.keys()) != set(masked.keys())
