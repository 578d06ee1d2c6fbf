"""The Distiller's steps on TensorFlow: micro-batches and replicas.

Every loss is `sum(w * v) / sum(w)` over the whole batch. Its denominator is
known before the student runs, so that the gradients of the parts of a batch,
each divided by the denominator of the whole, add up to the gradient of the
whole: it does not matter how many micro-batches and replicas share it, nor how
unevenly.
"""

import functools
import math

import tensorflow as tf

from keras_kd import distribution

# Trainable numbers, from which an update is fused.
LARGE = 1_000_000


def train_step(distiller, x, targets, sample_weight):
    """Trains on one batch; gives the logs."""
    gradients, y_pred, _ = _gradients(distiller, x, targets, sample_weight)
    _apply_after(x, distiller, gradients)
    return distribution.logs_of_replica(
        distiller.compute_metrics(x, targets, y_pred, sample_weight)
    )


def train_tasks(distiller, x, y, sample_weight):
    """Trains a `MultiTaskDistiller` on a batch of each task; gives the logs."""
    sums, y_pred, all_losses = {}, {}, 0.0
    for name, own, *data in distiller.parts(x, y, sample_weight):
        gradients, y_pred[name], loss = _gradients(own, *data)
        weight = distiller.task_weight(name)
        all_losses += tf.cast(weight, loss.dtype) * loss
        for variable, gradient in zip(own.trainable_weights, gradients):
            if gradient is not None:
                share = tf.cast(weight, gradient.dtype) * gradient
                sums[id(variable)] = sums.get(id(variable), 0.0) + share
    distiller.log_total(all_losses)
    _apply_after(
        x, distiller, [sums.get(id(w)) for w in distiller.trainable_weights]
    )
    return distiller.compute_metrics(x, y, y_pred, sample_weight)


def _gradients(distiller, x, targets, sample_weight):
    """Gradients of a whole batch, the predictions, and the loss; logs it."""
    weights = distiller.loss_weights(targets, sample_weight)
    rows = row_count(x)
    own_rows = tf.cast(rows, distiller.objective.dtype)
    denominators, all_rows = distribution.sum_over_replicas(
        (
            {
                name: own_rows
                if weight is None
                else tf.reduce_sum(tf.cast(weight, distiller.objective.dtype))
                for name, weight in weights.items()
            },
            own_rows,
        )
    )
    share = tf.math.divide_no_nan(own_rows, all_rows)
    differentiate = (
        _differentiate if distiller.accumulation_steps == 1 else _accumulate
    )
    gradients, numerators, penalty, y_pred = differentiate(
        distiller, x, targets, sample_weight, denominators, share
    )
    numerators, penalty = distribution.sum_over_replicas((numerators, penalty))
    # Before the optimizer counts the step, which schedules go by.
    loss = _log(distiller, numerators, denominators, penalty, all_rows)
    return gradients, y_pred, loss


def _apply_after(x, distiller, gradients):
    """Applies gradients to the weights, once the batch is there."""
    if not distiller.optimizer.built:
        distiller.optimizer.build(distiller.trainable_weights)
    # The batch has to be there before its step is counted: who makes the first
    # one may ask how many steps were made.
    with tf.control_dependencies(tf.nest.flatten(x)):
        _apply(distiller, gradients)


def test_step(distiller, x, targets, sample_weight):
    """Evaluates one batch; gives the logs."""
    targets = distiller.with_teacher(x, targets)
    y_pred = distiller(x, training=False)
    sums = distiller.loss_sums(
        x, targets, y_pred, sample_weight, training=False
    )
    rows = tf.cast(row_count(x), distiller.objective.dtype)
    penalty = tf.math.multiply_no_nan(distiller.penalty(), rows)
    sums, penalty, rows = distribution.sum_over_replicas((sums, penalty, rows))
    _log(
        distiller,
        {name: numerator for name, (numerator, _) in sums.items()},
        {name: denominator for name, (_, denominator) in sums.items()},
        tf.math.divide_no_nan(penalty, rows),
        rows,
    )
    return distribution.logs_of_replica(
        distiller.compute_metrics(x, targets, y_pred, sample_weight)
    )


def row_count(x):
    """The number of rows of a batch, as a tensor where it is not known."""
    first = tf.nest.flatten(x)[0]
    return first.shape[0] or tf.shape(first)[0]


def _differentiate(distiller, x, targets, sample_weight, denominators, share):
    """Gradients, and what is to be logged, of a part of a batch.

    Args:
        distiller: The Distiller.
        x: Inputs of the part.
        targets: Targets of the part.
        sample_weight: `[rows]`, or `None`.
        denominators: Sum of the weights of the whole batch, for each loss.
        share: The part's share of the whole batch, for penalties.

    Returns:
        Gradients (scaled as the optimizer wants it), the numerators of the
        losses, the penalty, and the student's predictions.
    """
    targets = distiller.with_teacher(x, targets)
    weights = distiller.trainable_weights
    with tf.GradientTape() as tape:
        outputs = distiller(x, training=True)
        sums = distiller.loss_sums(x, targets, outputs, sample_weight)
        numerators = {name: numerator for name, (numerator, _) in sums.items()}
        # A replica may be without rows, and the mean of nothing is NaN.
        penalty = tf.math.multiply_no_nan(distiller.penalty(), share)
        values = _divide(numerators, denominators)
        total = distiller.total_loss(values) + penalty
        scaled = distiller.optimizer.scale_loss(total)
    gradients = tape.gradient(scaled, weights)
    # An embedding's gradient is a list of rows in which a repeated token
    # stands twice; Adam and its kin would square each row by itself. That of
    # a table of which a part is read may have lost its shape.
    gradients = [
        gradient
        if gradient is None
        else tf.ensure_shape(tf.convert_to_tensor(gradient), weight.shape)
        for gradient, weight in zip(gradients, weights)
    ]
    return gradients, numerators, penalty, distiller.predictions(outputs)


def _accumulate(distiller, x, targets, sample_weight, denominators, share):
    """As `_differentiate`, in micro-batches one after the other.

    The batch is filled up to a multiple of them with copies of its last row,
    of weight 0, so that all have one size.
    """
    pieces = distiller.accumulation_steps
    rows = row_count(x)
    size = -(-rows // pieces)
    positions = tf.range(pieces * size)
    real = tf.cast(positions < rows, distiller.objective.dtype)
    positions = tf.minimum(positions, rows - 1)

    def cut(tensor):
        tensor = tf.gather(tensor, positions)
        return tf.reshape(
            tensor, tf.concat([[pieces, size], tf.shape(tensor)[1:]], axis=0)
        )

    data = tf.nest.map_structure(cut, {"x": x, "targets": targets})
    if sample_weight is not None:
        weight = tf.cast(tf.reshape(sample_weight, (-1,)), real.dtype)
        real = real * tf.gather(weight, positions)
    data["sample_weight"] = tf.reshape(real, (pieces, size))
    unconnected = set()

    def one_piece(index, gradients, numerators, penalty, outputs):
        piece = tf.nest.map_structure(lambda tensor: tensor[index], data)
        more_gradients, more_numerators, more_penalty, y_pred = _differentiate(
            distiller,
            piece["x"],
            piece["targets"],
            piece["sample_weight"],
            denominators,
            share / pieces,
        )
        unconnected.update(
            position
            for position, gradient in enumerate(more_gradients)
            if gradient is None
        )
        return (
            index + 1,
            [
                total if more is None else total + more
                for total, more in zip(gradients, more_gradients)
            ],
            {
                name: total + more_numerators[name]
                for name, total in numerators.items()
            },
            penalty + more_penalty,
            tf.nest.map_structure(
                lambda array, output: array.write(index, output),
                outputs,
                y_pred,
            ),
        )

    zero = tf.zeros((), distiller.objective.dtype)
    _, gradients, numerators, penalty, outputs = tf.while_loop(
        lambda index, *_: index < pieces,
        one_piece,
        (
            tf.constant(0),
            [tf.zeros(w.shape, w.dtype) for w in distiller.trainable_weights],
            {name: zero for name in denominators},
            zero,
            tf.nest.map_structure(
                lambda output: tf.TensorArray(output.dtype, pieces),
                distiller.predictions(distiller.student.output),
            ),
        ),
        # Side by side they would need the memory of the whole batch.
        parallel_iterations=1,
    )
    gradients = [
        None if position in unconnected else gradient
        for position, gradient in enumerate(gradients)
    ]
    y_pred = tf.nest.map_structure(
        lambda array, output: tf.ensure_shape(
            array.concat()[:rows], output.shape
        ),
        outputs,
        distiller.predictions(distiller.student.output),
    )
    return gradients, numerators, penalty, y_pred


def _apply(distiller, gradients):
    """Applies the gradients of the whole batch.

    Keras clips each replica's gradient before it sums them, which is another
    thing than to clip the sum, and asks the first replica alone whether all
    are finite under a loss scale. So they are summed here; the share that each
    replica then hands over is summed to the whole once more.
    """
    optimizer = distiller.optimizer
    replicas = distribution.replica_count()
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    clips = (inner.clipnorm, inner.global_clipnorm, inner.clipvalue)
    if replicas > 1 and (inner is not optimizer or any(clips)):
        known = [g for g in gradients if g is not None]
        known = distribution.sum_over_replicas(known)
        scale = optimizer.scale_loss(tf.ones(()))
        known = [
            gradient / tf.cast(replicas, gradient.dtype)
            for gradient in _clip(known, scale, *clips)
        ]
        known = iter(known)
        gradients = [g if g is None else next(known) for g in gradients]
    update = functools.partial(_update, distiller)
    if _is_worth_fusing(distiller):
        update = tf.function(update, jit_compile=True)
    update(gradients)


def _update(distiller, gradients):
    pairs = list(zip(gradients, distiller.trainable_weights))
    if not distiller.learns_outputs():
        # Keras would warn of a loss that was forgotten.
        pairs = [pair for pair in pairs if pair[0] is not None] or pairs
    distiller.optimizer.apply(*zip(*pairs))


def _is_worth_fusing(distiller):
    """Whether XLA is to make one loop of the optimizer's update.

    Op by op, an update of Adam reads and writes a word table some twenty
    times, which takes as long as a small student itself; fused, once. Small
    models are not worth the time to compile it. Optimizers that are not Keras'
    own may hold what XLA can't compile; under a strategy or a loss scale an
    update is more than arithmetic.
    """
    optimizer = distiller.optimizer
    size = sum(math.prod(w.shape) for w in distiller.trainable_weights)
    return (
        size >= LARGE
        and type(optimizer).__module__.startswith("keras.")
        and not hasattr(optimizer, "inner_optimizer")
        and not tf.distribute.has_strategy()
        and not tf.executing_eagerly()
    )


def _clip(gradients, scale, clipnorm, global_clipnorm, clipvalue):
    """Clips scaled gradients as Keras clips those that are not."""
    limits = [
        tf.cast(limit, "float32") * scale
        for limit in (clipnorm, global_clipnorm, clipvalue)
        if limit
    ]
    if not limits:
        return gradients
    (limit,) = limits
    if global_clipnorm:
        return tf.clip_by_global_norm(gradients, limit)[0]
    if clipnorm:
        return [tf.clip_by_norm(g, tf.cast(limit, g.dtype)) for g in gradients]
    # Infinity has to stay: the loss scale is lowered because of it.
    return [
        tf.where(
            tf.math.is_finite(g),
            tf.clip_by_value(
                g, -tf.cast(limit, g.dtype), tf.cast(limit, g.dtype)
            ),
            g,
        )
        for g in gradients
    ]


def _divide(numerators, denominators):
    return {
        name: tf.math.divide_no_nan(numerator, denominators[name])
        for name, numerator in numerators.items()
    }


def _log(distiller, numerators, denominators, penalty, all_rows):
    # Each replica logs the values of the whole batch, with its share of the
    # rows: alone and summed up they give the same mean.
    replicas = distribution.replica_count()
    values = _divide(numerators, denominators)
    counts = {name: count / replicas for name, count in denominators.items()}
    distiller.log_losses(values, counts)
    loss = distiller.total_loss(values) + penalty
    distiller.log_total(loss, all_rows / replicas)
    return loss
