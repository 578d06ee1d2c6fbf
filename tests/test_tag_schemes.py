"""Tags of words: schemes, repairs, entities."""

import numpy as np
import pytest

from keras_kd import tag_schemes

SENTENCES = {
    "iob1": ["I-PER", "I-PER", "B-PER", "O", "I-LOC", "I-ORG"],
    "iob2": ["B-PER", "I-PER", "B-PER", "O", "B-LOC", "B-ORG"],
    "bioes": ["B-PER", "E-PER", "S-PER", "O", "S-LOC", "S-ORG"],
}


@pytest.mark.parametrize("scheme", SENTENCES)
def test_schemes_are_told_apart_and_mean_the_same(scheme):
    tags = SENTENCES[scheme]
    assert tag_schemes.find_scheme([["O"], tags]) == scheme
    assert tag_schemes.to_iob2(tags, scheme) == (SENTENCES["iob2"], 0)


def test_bilou_is_bioes_in_other_letters():
    tags = ["B-PER", "L-PER", "U-PER", "O", "U-LOC", "U-ORG"]
    assert tag_schemes.find_scheme([tags]) == "bioes"
    assert tag_schemes.to_iob2(tags, "bioes") == (SENTENCES["iob2"], 0)


@pytest.mark.parametrize(
    "scheme, tags, repaired, repairs",
    [
        ("iob2", ["I-PER", "I-PER"], ["B-PER", "I-PER"], 1),
        ("iob2", ["B-PER", "I-LOC"], ["B-PER", "B-LOC"], 1),
        ("iob2", ["O", "I-LOC", "O", "I-LOC"], ["O", "B-LOC"] * 2, 2),
        ("bioes", ["E-PER", "I-PER"], ["B-PER", "B-PER"], 3),
        ("bioes", ["B-PER", "O", "S-LOC"], ["B-PER", "O", "B-LOC"], 1),
        ("bioes", ["B-PER", "I-PER"], ["B-PER", "I-PER"], 1),
        ("bioes", ["S-PER", "E-PER"], ["B-PER", "B-PER"], 1),
        ("iob1", ["I-PER", "I-LOC"], ["B-PER", "B-LOC"], 0),
    ],
)
def test_what_continues_nothing_begins_an_entity(
    scheme, tags, repaired, repairs
):
    assert tag_schemes.to_iob2(tags, scheme) == (repaired, repairs)


def test_a_few_mistakes_make_no_other_scheme():
    right = ["B-PER", "I-PER", "O"]
    assert tag_schemes.find_scheme([right] * 9 + [["I-PER"]] * 3) == "iob2"


@pytest.mark.parametrize("tag", ["PER", "X-PER", "B-", "B", "o", "B_PER"])
def test_other_tags_are_refused(tag):
    with pytest.raises(ValueError, match="expected 'O', or one of B-"):
        tag_schemes.to_iob2([tag], "iob2")


def test_a_type_may_have_a_dash():
    assert tag_schemes.entities(["B-work-of-art", "I-work-of-art"]) == [
        ("work-of-art", 0, 2)
    ]


def test_entities_are_those_of_seqeval():
    metrics = pytest.importorskip("seqeval.metrics.sequence_labeling")
    generator = np.random.default_rng(0)
    names = ["O", "O", "B-A", "I-A", "B-B", "I-B"]
    found = 0
    for _ in range(500):
        tags = generator.choice(names, generator.integers(1, 9)).tolist()
        ours = tag_schemes.entities(tags)
        theirs = metrics.get_entities(tags)
        assert ours == [(kind, i, j + 1) for kind, i, j in theirs], tags
        found += len(ours)
    assert found > 500


def test_transitions_of_iob2():
    tags = ["O", "B-A", "I-A", "B-B", "I-B"]
    allowed = tag_schemes.allowed_transitions(tags)
    assert allowed[0] == allowed[1] == [True, True, False, True, False]
    for before in (2, 3):  # Behind B-A and I-A.
        assert allowed[before] == [True, True, True, True, False]
