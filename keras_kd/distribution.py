"""Several devices: strategies by name, sums over replicas, random states."""

import functools
import os

import tensorflow as tf

STRATEGIES = ("none", "mirrored", "multi_worker")
# Seeds of layers are often neighbours: those of replicas are far apart.
SEED_STRIDE = 1_000_003


def strategy_by_name(name="none", devices=None):
    """The strategy that spreads a training over devices.

    A process should use one strategy: asked again, it gives the same object.

    Args:
        name: `"none"` for one device; `"mirrored"` for a replica of the
            student on each of several devices of this machine, which share
            every batch; `"multi_worker"` for the same over the processes that
            the environment variable `TF_CONFIG` names, each of which runs the
            same program. Then it has to be asked for before TensorFlow
            computes anything.
        devices: Names of the devices, such as `["GPU:0", "GPU:1"]`. `None`
            takes all GPUs, and a single CPU where there are none.

    Returns:
        A `tf.distribute.Strategy`. Student, teacher, optimizer, metrics and
        Distiller are made inside of its `scope()`.

    Raises:
        ValueError: An unknown name, a device that is not there, or workers
            without `TF_CONFIG`.

    Example:

    >>> strategy = strategy_by_name("mirrored", devices=["CPU:0"])
    >>> with strategy.scope():
    ...     pass  # Build and compile.
    >>> strategy.num_replicas_in_sync
    1
    """
    if name not in STRATEGIES:
        raise ValueError(
            f"`name` must be one of {list(STRATEGIES)}. Received: '{name}'"
        )
    if name != "mirrored" and devices:
        raise ValueError(
            f"Strategy '{name}' takes no devices: TensorFlow puts the student "
            f"on the first GPU, or on the CPU. Received: {list(devices)}. "
            "Use 'mirrored', or hide devices with CUDA_VISIBLE_DEVICES."
        )
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "multi_worker":
        if "TF_CONFIG" not in os.environ:
            raise ValueError(
                "Several workers need the environment variable TF_CONFIG, "
                "which names them, and says which one this is. Received: none. "
                'Set it as in \'{"cluster": {"worker": ["10.0.0.1:2222", '
                '"10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}\'.'
            )
        return _multi_worker()
    return _mirrored(None if devices is None else tuple(devices))


@functools.cache
def _mirrored(devices):
    if devices is not None:
        known = {
            device.name.removeprefix("/device:").upper()
            for device in tf.config.list_logical_devices()
        }
        missing = [
            device
            for device in devices
            if device.upper().split("DEVICE:")[-1].lstrip("/") not in known
        ]
        if missing or not devices:
            raise ValueError(
                f"`devices` must name devices of this machine: {sorted(known)}."
                f" Received: {list(devices)}."
            )
        devices = list(devices)
    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _multi_worker():
    return tf.distribute.MultiWorkerMirroredStrategy()


def has_workers(strategy):
    """Whether the replicas of a strategy are in several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def distribute_options(dataset, strategy=None):
    """Keeps TensorFlow from sharding a `tf.data.Dataset` by its files.

    A strategy splits every batch over the replicas by itself. Beyond that
    TensorFlow tries to give each worker its own files, and a data set that
    Python makes has none. `keras_kd.training_batches` has this done already,
    for the replicas of one process.

    Args:
        dataset: The same batches in each process.
        strategy: The strategy, where it has several workers: each then takes
            its part of every batch.
    """
    policy = tf.data.experimental.AutoShardPolicy
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        policy.DATA if has_workers(strategy) else policy.OFF
    )
    return dataset.with_options(options)


def check_evaluation(strategy):
    """Refuses to evaluate among several workers.

    The numbers that Keras gives there are not those of one device.

    Raises:
        ValueError: The strategy has several workers.
    """
    if has_workers(strategy):
        raise ValueError(
            "Keras can't evaluate among several workers: its numbers are not "
            "those of one device. Received: evaluate, or validation data. "
            "Each worker has the same student after `fit`: save "
            "`distiller.student` in one, and evaluate it in a process without "
            "a strategy."
        )


def logs_of_replica(logs):
    """The logs of a step in the form in which Keras can reduce them.

    Among several workers it takes their mean over axis 0, which a number has
    not (Keras issues 20585 and 20329).
    """
    if not has_workers(tf.distribute.get_strategy()):
        return logs
    return tf.nest.map_structure(lambda value: tf.reshape(value, (1,)), logs)


def replica_count():
    """How many replicas share the batch of the running step."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(tensors):
    """The sums of a structure of tensors over all replicas, on each of them.

    It has to be called outside of conditions and loops of the graph.
    """
    if replica_count() == 1:
        return tensors
    flat = tf.nest.flatten(tensors)
    if not flat:
        return tensors
    context = tf.distribute.get_replica_context()
    flat = context.all_reduce(tf.distribute.ReduceOp.SUM, flat)
    return tf.nest.pack_sequence_as(tensors, flat)


def vary_seeds(model):
    """Gives each replica dropout masks of its own.

    Keras' random states are mirrored, so that all replicas would drop the same
    units. The state stays mirrored, and so does what is saved; what is drawn
    from it is shifted by the replica. The first replica draws what a single
    device does.
    """
    for layer in model._flatten_layers():
        for generator in layer._seed_generators:
            generator.next = functools.partial(_next_seed, generator)


def _next_seed(generator, ordered=True):
    seed = type(generator).next(generator, ordered)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    shift = tf.cast(context.replica_id_in_sync_group, seed.dtype) * SEED_STRIDE
    return seed + tf.stack([shift, tf.zeros_like(shift)])


def check_scope(model, strategy):
    """Refuses a student that was not built where it is to be trained.

    Args:
        model: The student.
        strategy: The strategy of the scope, or `None`.

    Raises:
        ValueError: It was built outside of the scope, or in another one.
    """
    for variable in model.variables:
        theirs = getattr(variable.value, "distribute_strategy", None)
        if theirs is not strategy:
            raise ValueError(
                "Student and Distiller must be built in the scope of one and "
                f"the same strategy. Received: variable '{variable.path}' of "
                f"{_described(theirs)}, and a Distiller in that of "
                f"{_described(strategy)}. Build both under `with "
                "strategy.scope():`, and load weights into the student after "
                "that."
            )


def check_compile(strategy, optimizer, metrics, steps_per_execution, jit):
    """Refuses what TensorFlow can't do, or does wrongly, under a strategy.

    Raises:
        ValueError: With the reason, and what to do instead.
    """
    received = f"under {type(strategy).__name__}"
    if jit is True:
        raise ValueError(
            f"Received: jit_compile=True {received}. XLA can't compile the "
            "sums over replicas. Leave it off, or train on one device."
        )
    if steps_per_execution != 1:
        raise ValueError(
            f"Received: steps_per_execution={steps_per_execution} {received}. "
            "TensorFlow can't hand a distributed batch from step to step in "
            "one graph. Leave it at 1, and make the batches larger."
        )
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if getattr(inner, "gradient_accumulation_steps", None):
        raise ValueError(
            "Received: an optimizer with gradient_accumulation_steps="
            f"{inner.gradient_accumulation_steps} {received}. Keras can't sum "
            "over replicas in the steps in which it applies gradients only. "
            "Give `accumulation_steps` to `Distiller.compile`: it splits the "
            "batch inside of a step."
        )
    variables = [
        ("The optimizer", v) for v in getattr(optimizer, "variables", [])
    ]
    for metric in metrics:
        variables += [
            (f"Metric '{metric.name}'", v)
            for v in getattr(metric, "variables", [])
        ]
    for owner, variable in variables:
        theirs = getattr(variable.value, "distribute_strategy", None)
        if theirs is not strategy:
            raise ValueError(
                f"{owner} was made in the scope of {_described(theirs)}. "
                f"Expected: that of {_described(strategy)}, as the Distiller. "
                "Make it under `with strategy.scope():`, or give its name."
            )


def _described(strategy):
    return "no strategy" if strategy is None else type(strategy).__name__
