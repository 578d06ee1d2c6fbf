"""Which positions switch on the same neurons."""

import keras
from keras import ops

from keras_kd.losses.hidden_state_cosine import unit_vectors
from keras_kd.losses.layer_loss import LayerLoss
from keras_kd.losses.layer_loss import check_same_tokens
from keras_kd.losses.masking import count_real
from keras_kd.losses.masking import masked_pair_mean
from keras_kd.losses.masking import without_padding


def selectivity_distance(
    student_states, teacher_states, mask=None, normalize=True
):
    """The squared distance of the positions' products, one value an example.

    Args:
        student_states: `[batch, length, width]`.
        teacher_states: `[batch, length, another width]`.
        mask: `[batch, length]`, 1 on real tokens, or `None`.
        normalize: Whether each neuron's mean square over the positions is
            made 1.

    Returns:
        `[batch]` tensor: the mean over pairs of valid positions.
    """
    student, teacher = (
        position_products(states, mask, normalize)
        for states in (student_states, teacher_states)
    )
    return masked_pair_mean(ops.square(student - teacher), mask)


def position_products(states, mask, normalize):
    """`[batch, length, length]`: mean product, over neurons, of positions."""
    states = without_padding(states, mask)
    if normalize:
        count = ops.reshape(count_real(states, mask), (-1, 1, 1))
        states = unit_vectors(states, axis=1) * ops.sqrt(count)
    return ops.einsum("bid,bjd->bij", states, states) / states.shape[-1]


@keras.saving.register_keras_serializable(package="keras_kd")
class NeuronSelectivity(LayerLoss):
    """Matches which positions switch on the same neurons (NST, MMD).

    What a single neuron responds to is a distribution over the positions. The
    neurons of both models are compared as two sets of such responses, by their
    maximum mean discrepancy under a squared-product kernel. Neurons need not
    match one by one, nor be as many: no projection is needed.

    $$L = \\sum_{(m, n)} \\frac{1}{|V|^2} \\sum_{i, j \\in V} \\left(
      \\frac{h^S_{m,i} \\cdot h^S_{m,j}}{D_S} -
      \\frac{h^T_{n,i} \\cdot h^T_{n,j}}{D_T} \\right)^2$$

    over pairs of layers $(m, n)$ and valid positions $V$. With `normalize`
    each neuron has a mean square of 1 over $V$, which makes it the paper's
    discrepancy of neurons of length 1.

    | input | shape | from |
    |---|---|---|
    | `hidden_states/m` | `[batch, length, width]` | student |
    | `hidden_states/n` | `[batch, length, any width]` | teacher |

    Source: Huang and Wang 2017, "Like What You Like: Knowledge Distill via
    Neuron Selectivity Transfer", equation 8. With `normalize=False` it is `nst`
    of TextBrewer without a mask; with one, TextBrewer divides by the length in
    place of the width.

    Args:
        layers: List of pairs `(student layer, teacher layer)`, as
            `keras_kd.layer_mapping` makes them; 0 is the embeddings.
        normalize: Whether each neuron's mean square is made 1.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"neuron_selectivity"`.

    Raises:
        ValueError: `layers` is not a list of pairs, or the models read other
            tokens.

    Example:

    >>> loss = NeuronSelectivity(layers=[(1, 2)], normalize=False)
    >>> values = loss({"hidden_states/1": [[[2.0], [1.0]]]},
    ...               {"hidden_states/2": [[[2.0, 0.0], [0.0, 2.0]]]})
    >>> [float(value) for value in values]
    [3.25]
    """

    projects = False

    def __init__(
        self, layers, normalize=True, weight=1.0, name="neuron_selectivity"
    ):
        super().__init__(layers, weight=weight, name=name)
        self.normalize = normalize

    def check_pair(self, names, student, teacher):
        check_same_tokens(self.name, names, student, teacher)

    def pair(self, student, teacher, context):
        return selectivity_distance(
            student, teacher, context.mask, self.normalize
        )

    def get_config(self):
        return {**super().get_config(), "normalize": self.normalize}
