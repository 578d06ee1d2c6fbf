"""The losses between layers that a run's settings name."""

from functools import partial

from keras_kd import layer_mapping
from keras_kd.configuration import LAYER_LOSSES
from keras_kd.configuration import ConfigurationError
from keras_kd.losses.attention_kl import AttentionKL
from keras_kd.losses.attention_mse import AttentionMSE
from keras_kd.losses.contrastive import Contrastive
from keras_kd.losses.flow_matching import FlowMatching
from keras_kd.losses.hidden_state_cosine import HiddenStateCosine
from keras_kd.losses.hidden_state_mse import HiddenStateMSE
from keras_kd.losses.layer_transport import LayerTransport
from keras_kd.losses.neuron_selectivity import NeuronSelectivity
from keras_kd.losses.patient_knowledge import PatientKnowledge
from keras_kd.losses.relational_angle import RelationalAngle
from keras_kd.losses.relational_distance import RelationalDistance
from keras_kd.losses.self_attention_relations import SelfAttentionRelations
from keras_kd.models.layer_outputs import block_count

MAPS = ("uniform", "last", "first", "skip", "last_only")
_OF_PAIRS = {
    "hidden_state_mse": HiddenStateMSE,
    "hidden_state_cosine": HiddenStateCosine,
    "patient_knowledge": PatientKnowledge,
    "attention_mse": AttentionMSE,
    "attention_probability_mse": partial(AttentionMSE, on="probabilities"),
    "attention_kl": AttentionKL,
    "self_attention_relations": SelfAttentionRelations,
    "value_relations": partial(SelfAttentionRelations, relations=["values"]),
    "neuron_selectivity": NeuronSelectivity,
    "flow_matching": FlowMatching,
}
_OF_RELATIONS = ("self_attention_relations", "value_relations")
_OF_POOLED = {
    "relational_distance": RelationalDistance,
    "relational_angle": RelationalAngle,
    "contrastive": Contrastive,
}


def layer_losses(
    names,
    student,
    teacher,
    layer_map="uniform",
    weight=1.0,
    relation_heads=None,
):
    """Makes losses between the layers of a student and of a teacher.

    Args:
        names: List of names in `keras_kd.configuration.LAYER_LOSSES`.
            `embedding_mse` is `hidden_state_mse` of the embeddings. Those on
            relations of rows read what stands before the last dense layer,
            and `layer_transport` all layers; the map is for the others.
        student: The student.
        teacher: The teacher.
        layer_map: One of `MAPS`, or pairs such as `"1:2,2:4"`.
        weight: Weight of each loss: a number for all, or a list of them.
        relation_heads: Relation heads of `self_attention_relations` and
            `value_relations`; `None` takes what suits both models.

    Returns:
        List of `DistillationLoss`.

    Raises:
        ValueError: Another name, a map that these models can't have, or a
            model without layers.

    Example:

    ```python
    layer_losses(["hidden_state_mse"], student, teacher, "1:2,2:4,3:6")
    ```
    """
    unknown = sorted(set(names) - set(LAYER_LOSSES))
    if unknown:
        raise ValueError(
            f"`layer_losses` must be some of {list(LAYER_LOSSES)}. Received "
            f"also: {unknown}."
        )
    layers = block_count(student), block_count(teacher)
    _check_layers(names, layers)
    pairs = None  # A student without layers has a map of none.
    if set(names) & set(_OF_PAIRS):
        pairs = read_map(layer_map, *layers)
    weights = weight if isinstance(weight, list) else [weight] * len(names)
    return [
        _loss(name, pairs, layers, own, relation_heads)
        for name, own in zip(names, weights, strict=True)
    ]


def _check_layers(names, layers):
    """Refuses losses between layers where a model, such as a bag, has none.

    Embeddings are what its first layer reads: there are none either.
    """
    reading = [name for name in names if name not in _OF_POOLED]
    for role, count in zip(("student", "teacher"), layers):
        if reading and not count:
            raise ConfigurationError(
                f"The {role} has no layers, which {reading} of `layer_losses` "
                f"compare. Give another {role}, or take of {list(_OF_POOLED)}, "
                "which compare rows."
            )


def _loss(name, pairs, layers, weight, relation_heads):
    options = {"weight": weight, "name": name}
    if name == "embedding_mse":
        return HiddenStateMSE([(0, 0)], **options)
    if name == "layer_transport":
        return LayerTransport(*(range(1, n + 1) for n in layers), **options)
    if name in _OF_POOLED:
        return _OF_POOLED[name](**options)
    if name in _OF_RELATIONS:
        options["relation_heads"] = relation_heads
    return _OF_PAIRS[name](layers=pairs, **options)


def read_map(text, student_layers, teacher_layers):
    """The pairs of layers that a map's name, or its pairs as text, mean.

    Raises:
        ValueError: It is neither, or there are no such layers.

    Example:

    >>> read_map("last", 2, 6), read_map("1:2, 2:5", 2, 6)
    ([(1, 5), (2, 6)], [(1, 2), (2, 5)])
    """
    if text in MAPS:
        return getattr(layer_mapping, text)(student_layers, teacher_layers)
    try:
        pairs = [
            tuple(int(number) for number in pair.split(":"))
            for pair in text.split(",")
        ]
        if all(
            0 <= student <= student_layers and 0 <= teacher <= teacher_layers
            for student, teacher in pairs
        ):
            return layer_mapping.check_pairs(pairs)
    except ValueError:
        pass
    raise ValueError(
        f"`layer_map` must be one of {list(MAPS)}, or pairs such as 1:2,2:4 "
        f"of layers from 0 to {student_layers} of the student and from 0 to "
        f"{teacher_layers} of the teacher. Received: {text!r}."
    )
