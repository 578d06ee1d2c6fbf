"""Maps from the layers of a student to those of a teacher."""

import pytest

from keras_kd import layer_mapping


@pytest.mark.parametrize("students", range(1, 13))
def test_every_map_is_increasing_and_ends_inside(students):
    for name in ("uniform", "last", "first", "skip"):
        pairs = getattr(layer_mapping, name)(students, 12)
        own, teachers = zip(*pairs)
        assert own == tuple(range(1, students + 1))
        assert sorted(set(teachers)) == list(teachers)
        assert 1 <= teachers[0] and teachers[-1] <= 12
        assert layer_mapping.check_pairs(pairs) == pairs


def test_the_maps_of_the_papers():
    # TinyBERT, 4 layers from 12; PKD-skip, 6 from 12; MiniLM.
    assert layer_mapping.uniform(4, 12) == [(1, 3), (2, 6), (3, 9), (4, 12)]
    assert layer_mapping.uniform(6, 12)[:2] == [(1, 2), (2, 4)]
    assert layer_mapping.last_only(6, 12) == [(6, 12)]
    assert layer_mapping.uniform(6, 6) == layer_mapping.first(6, 6)


def test_more_layers_than_the_teacher_has():
    with pytest.raises(ValueError, match="7 of the student, 6 of the teacher"):
        layer_mapping.uniform(7, 6)


@pytest.mark.parametrize(
    "pairs", [[], [(1,)], [(1, -1)], "uniform", [(1, 2.0)]]
)
def test_what_is_no_list_of_pairs(pairs):
    with pytest.raises(ValueError, match="list of pairs"):
        layer_mapping.check_pairs(pairs)
