"""Losses on attention and its relations against float64 oracles."""

import numpy as np
import pytest

from keras_kd.losses import AttentionKL
from keras_kd.losses import AttentionMSE
from keras_kd.losses import SelfAttentionRelations
from keras_kd.losses.self_attention_relations import common_heads
from tests.losses import cases

PAIRS = cases.PAIRS
STUDENT, TEACHER = cases.everything(seed=1), cases.everything(seed=2)


def softmax(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


def divergence(teacher, student):
    return (teacher * np.log(teacher / student)).sum()


def real_attention(outputs, name, row):
    """`[heads, real positions, real positions]` of one row."""
    real = cases.MASK[row] == 1
    return outputs[name][row][:, real][:, :, real]


def over_rows_and_pairs(kind, of_one):
    def values(student, teacher):
        return np.array(
            [
                sum(
                    of_one(
                        real_attention(student, f"{kind}/{m}", row),
                        real_attention(teacher, f"{kind}/{n}", row),
                    )
                    for m, n in PAIRS
                )
                for row in range(cases.ROWS)
            ]
        )

    return values


@pytest.mark.parametrize("on", ["scores", "probabilities"])
def test_squared_distance_of_the_oracle(on):
    cases.check_oracle(
        AttentionMSE(PAIRS, on=on),
        over_rows_and_pairs(
            f"attention_{on}", lambda s, t: ((s - t) ** 2).mean()
        ),
        STUDENT,
        TEACHER,
        mask=cases.MASK,
    )


def mean_divergence(student, teacher):
    """Over heads and tokens that look; plain softmax, no mask."""
    return np.mean(
        [
            divergence(softmax(teacher[h, i]), softmax(student[h, i]))
            for h in range(student.shape[0])
            for i in range(student.shape[1])
        ]
    )


def test_divergence_of_the_oracle():
    cases.check_oracle(
        AttentionKL(PAIRS),
        over_rows_and_pairs("attention_scores", mean_divergence),
        STUDENT,
        TEACHER,
        mask=cases.MASK,
    )


def relations_oracle(relations, heads, pairs):
    def scores(outputs, name, row):
        vectors = outputs[name][row][cases.MASK[row] == 1]
        side_by_side = vectors.reshape(len(vectors), -1)
        parts = np.split(side_by_side, heads, axis=1)
        return np.array([x @ x.T / np.sqrt(x.shape[1]) for x in parts])

    def values(student, teacher):
        return np.array(
            [
                sum(
                    mean_divergence(
                        scores(student, f"{relation}/{m}", row),
                        scores(teacher, f"{relation}/{n}", row),
                    )
                    for m, n in pairs
                    for relation in relations
                )
                for row in range(cases.ROWS)
            ]
        )

    return values


@pytest.mark.parametrize(
    ("relations", "heads"),
    [(["queries", "keys", "values"], 3), (["values"], 2)],
)
def test_relations_of_the_oracle(relations, heads):
    pairs = [(1, 2)]
    cases.check_oracle(
        SelfAttentionRelations(pairs, heads, relations),
        relations_oracle(relations, heads, pairs),
        STUDENT,
        TEACHER,
        mask=cases.MASK,
    )


@pytest.mark.parametrize(
    ("student", "teacher", "heads"),
    [
        ((4, 16), (12, 32), 8),  # The default student, and MiniLM.
        ((12, 26), (12, 64), 12),  # TinyBERT's, and BERT's.
        ((4, 64), (4, 64), 4),
        ((1, 7), (2, 8), 1),
    ],
)
def test_relation_heads_that_suit_both(student, teacher, heads):
    shapes = [(1, 3, *sizes) for sizes in (student, teacher)]
    assert common_heads(*map(np.zeros, shapes)) == heads
    loss = SelfAttentionRelations([(1, 1)])
    names = loss.student_outputs
    outputs = [
        {name: cases.random(*shape, seed=number) for name in names}
        for number, shape in enumerate(shapes)
    ]
    explicit = SelfAttentionRelations([(1, 1)], relation_heads=heads)
    np.testing.assert_array_equal(
        cases.call(loss, *outputs), cases.call(explicit, *outputs)
    )
    config = loss.get_config()
    assert SelfAttentionRelations.from_config(config).relation_heads is None


@pytest.mark.parametrize("relation_heads", [3, None])
def test_relations_of_other_widths_and_numbers_of_heads(relation_heads):
    teacher = {
        f"{kind}/2": cases.random(cases.ROWS, cases.LENGTH, 5, 3, seed=seed)
        for seed, kind in enumerate(("queries", "keys", "values"))
    }
    loss = SelfAttentionRelations([(2, 2)], relation_heads)
    np.testing.assert_allclose(
        cases.call(loss, STUDENT, teacher, "float64", mask=cases.MASK),
        relations_oracle(("queries", "keys", "values"), 3, [(2, 2)])(
            STUDENT, teacher
        ),
        rtol=1e-9,
    )


@pytest.mark.parametrize("hidden", [-np.inf, -1e9, -10000.0, np.nan])
def test_how_a_framework_masks_its_scores_does_not_matter(hidden):
    real = cases.MASK[:, None, :, None] * cases.MASK[:, None, None, :]
    masked = {
        name: np.where(real, values, hidden) if "scores" in name else values
        for name, values in TEACHER.items()
    }
    for loss in (AttentionMSE(PAIRS), AttentionKL(PAIRS)):
        np.testing.assert_array_equal(
            cases.call(loss, STUDENT, masked, mask=cases.MASK),
            cases.call(loss, STUDENT, TEACHER, mask=cases.MASK),
        )
        slopes = cases.gradients(loss, STUDENT, masked, mask=cases.MASK)
        for slope in slopes.values():
            assert np.isfinite(slope).all()
            assert np.abs(slope).max() > 0
            assert (np.where(real, 0.0, slope) == 0).all()


def test_a_constant_that_a_tokens_scores_share_changes_nothing():
    moved = {
        name: values + 7.0 if "scores" in name else values
        for name, values in STUDENT.items()
    }
    np.testing.assert_allclose(
        cases.call(AttentionKL(PAIRS), moved, TEACHER, mask=cases.MASK),
        cases.call(AttentionKL(PAIRS), STUDENT, TEACHER, mask=cases.MASK),
        rtol=1e-4,
    )


def test_a_sure_teacher_is_learned_from():
    # In float32 softmax gives the student's 0.
    student = {"attention_scores/1": np.array([[[[0.0, 200.0]] * 2]])}
    teacher = {"attention_scores/1": np.array([[[[200.0, 0.0]] * 2]])}
    loss = AttentionKL([(1, 1)])
    assert cases.call(loss, student, teacher)[0] == pytest.approx(200.0)
    (slope,) = cases.gradients(loss, student, teacher).values()
    np.testing.assert_allclose(slope[0, 0], [[-0.5, 0.5]] * 2, rtol=1e-6)


class TestRefusals:
    def test_other_numbers_of_heads(self):
        teacher = {"attention_scores/1": np.zeros((4, 3, 5, 5))}
        for make in (AttentionMSE, AttentionKL):
            with pytest.raises(ValueError) as error:
                cases.call(make([(1, 1)]), STUDENT, teacher)
            assert "(4, 2, 5, 5) and (4, 3, 5, 5)" in str(error.value)
            assert "SelfAttentionRelations" in str(error.value)

    def test_relation_heads_that_do_not_divide(self):
        loss = SelfAttentionRelations([(1, 1)], relation_heads=4)
        said = "4, for widths 6 .* and 6 .* Give a divisor of 6, or leave it"
        with pytest.raises(ValueError, match=said):
            cases.call(loss, STUDENT, TEACHER)

    @pytest.mark.parametrize("heads", [0, 1.5, "3"])
    def test_relation_heads_that_are_none(self, heads):
        with pytest.raises(ValueError, match="whole number, 1 or more"):
            SelfAttentionRelations([(1, 1)], relation_heads=heads)

    @pytest.mark.parametrize("relations", [[], ["scores"]])
    def test_relations(self, relations):
        with pytest.raises(ValueError, match="`relations` must be some of"):
            SelfAttentionRelations([(1, 1)], relations=relations)

    def test_attention_of_another_kind(self):
        with pytest.raises(ValueError, match="'scores', 'probabilities'"):
            AttentionMSE([(1, 1)], on="queries")
