"""The arithmetic of narrower weights, in NumPy and float64."""

import numpy as np

# Of the variance of a component, below which nothing can be fitted to it.
NO_VARIANCE = 1e-12


class Basis:
    """The components of the hidden states that a narrower copy keeps.

    The first is the direction of the mean over all units, which every layer
    normalisation takes away; the others are the principal components of what
    is left. They are then mirrored so that the mean of the narrow states is,
    up to a factor, that of the wide ones: the narrow normalisation takes away
    the same.

    Args:
        states: List of arrays `[tokens, width]`.
        dim: Number of components; with the width of the states they are the
            units themselves.

    Example:

    >>> states = np.array([[2.0, 0.0, 0.0, 4.0], [0.0, 3.0, 0.0, 1.0]])
    >>> narrow = states @ Basis([states], dim=2).matrix
    >>> narrow.mean(axis=1) / states.mean(axis=1)
    array([1.41421356, 1.41421356])
    """

    def __init__(self, states, dim):
        self.dim = dim
        width = states[0].shape[1]
        if dim == width:
            self.matrix = np.eye(width)
            return
        mean = np.full(width, width**-0.5)
        moment = sum(x.T @ x / len(x) for x in states)
        away = np.eye(width) - np.outer(mean, mean)
        _, vectors = np.linalg.eigh(away @ moment @ away)
        columns = np.c_[mean, vectors[:, :-dim:-1]]
        # States may lie in fewer dimensions, and "the others" be any then.
        columns, _ = np.linalg.qr(columns)
        columns[:, 0] = mean
        mirror = np.full(dim, dim**-0.5) - np.eye(dim)[0]
        self.matrix = columns - 2 * np.outer(
            columns @ mirror, mirror / (mirror @ mirror)
        )

    def read(self, kernel, bias, states):
        """Weights that read narrow states as these read wide ones.

        Args:
            kernel: `[width, outputs]`.
            bias: `[outputs]`.
            states: `[tokens, width]`, what they read.
        """
        mean = states.mean(axis=0)
        left_out = mean - self.matrix @ (self.matrix.T @ mean)
        return self.matrix.T @ kernel, bias + left_out @ kernel

    def reading(self, dense, states):
        """`read` for a dense layer: its weights, as `set_weights` has them."""
        kernel, *bias = dense.get_weights()
        kernel, added = self.read(kernel, bias[0] if bias else 0.0, states)
        return [kernel, added][: 1 + len(bias)]

    def normalization(self, layer, before, after):
        """Scale and offset of a layer normalisation for narrow states.

        Args:
            layer: The teacher's layer.
            before: `[tokens, width]`, what it reads.
            after: `[tokens, width]`, what it gives.
        """
        if self.dim == before.shape[1]:
            return layer.get_weights()
        x, y = before @ self.matrix, after @ self.matrix
        x = x - x.mean(axis=1, keepdims=True)
        x /= np.sqrt((x**2).mean(axis=1, keepdims=True) + layer.epsilon)
        variance = x.var(axis=0)
        shared = ((x - x.mean(axis=0)) * (y - y.mean(axis=0))).mean(axis=0)
        usual = float(np.mean(layer.get_weights()[0]))
        scale = np.full(self.dim, usual)
        fitted = variance > NO_VARIANCE
        scale[fitted] = shared[fitted] / variance[fitted]
        return [scale, y.mean(axis=0) - scale * x.mean(axis=0)]


def narrow_attention(own, copy, x, basis):
    """Fills a narrower `MultiHeadAttention`.

    Args:
        own: The teacher's layer.
        copy: The student's, whose sizes say how narrow.
        x: `[tokens, width]`, what the teacher's reads.
        basis: `Basis`.
    """
    inputs = np.c_[x @ basis.matrix, np.ones(len(x))]
    # Of each head `[1 + narrow width, width of a head]`, the bias last.
    queries, keys, values = (
        _by_head(dense, x, basis)
        for dense in (own.query_dense, own.key_dense, own.value_dense)
    )
    kernel, bias = own.output_dense.get_weights()
    outputs = list(kernel @ basis.matrix)
    adds = [np.linalg.norm(inputs @ v @ o) for v, o in zip(values, outputs)]
    num_heads, width = copy.query_dense.kernel.shape[1:]
    kept = []
    for head in most(np.array(adds), num_heads):
        query, key = queries[head], keys[head]
        value, output = values[head], outputs[head]
        if width < query.shape[1]:
            query, key = narrow_scores(inputs, query, key, width)
            value, output = narrow_product(inputs, value, output, width)
        kept.append((query, key, value, output))
    queries, keys, values, outputs = zip(*kept, strict=True)
    for dense, heads in (
        (copy.query_dense, queries),
        (copy.key_dense, keys),
        (copy.value_dense, values),
    ):
        heads = np.stack(heads, axis=1)
        dense.set_weights([heads[:-1], heads[-1]])
    copy.output_dense.set_weights([np.stack(outputs), bias @ basis.matrix])


def narrow_scores(inputs, query, key, width):
    """Fewer columns for queries and keys, with the nearest scores.

    Singular values of all products of a query and a key; the scores of the
    attention divide them by the root of the columns' number.

    Args:
        inputs: `[tokens, n]`.
        query: `[n, d]`.
        key: `[n, d]`.
        width: Columns of the result, at most d.

    Returns:
        `(query, key)`, each `[n, width]`.
    """
    of_queries = np.linalg.qr(inputs @ query, mode="r")
    of_keys = np.linalg.qr(inputs @ key, mode="r")
    left, size, right = np.linalg.svd(of_queries @ of_keys.T)
    factor = (width / query.shape[1]) ** 0.25 * _inverse_root(size[:width])
    return (
        query @ of_keys.T @ right[:width].T * factor,
        key @ of_queries.T @ left[:, :width] * factor,
    )


def narrow_product(inputs, first, second, width):
    """Fewer columns between two matrices, with the nearest product.

    Args:
        inputs: `[tokens, n]`.
        first: `[n, d]`.
        second: `[d, m]`.
        width: Columns of the first and rows of the second, at most d.

    Returns:
        `(first, second)` for which `inputs @ first @ second` is nearest.
    """
    triangle = np.linalg.qr(inputs @ first, mode="r")
    _, _, right = np.linalg.svd(triangle @ second, full_matrices=False)
    right = right[:width]
    # Fewer tokens or outputs than columns leave columns without a use.
    right = np.pad(right, ((0, width - len(right)), (0, 0)))
    return first @ second @ right.T, right


def narrow_units(weights, activity, reader, count):
    """Fewer units of a dense layer, and what reads them.

    Those are kept whose outputs vary most, as the reader weighs them; the
    others add their mean to the reader's bias.

    Args:
        weights: The layer's kernel and bias.
        activity: `[tokens, units]`, what it gives.
        reader: Kernel and bias of the layer that reads it, or `None`.
        count: How many are kept.

    Returns:
        `(weights, weights of the reader)`.
    """
    importance = activity.var(axis=0)
    if reader is not None:
        kernel, *bias = reader
        importance = importance * (kernel**2).sum(axis=1)
    kept = most(importance, count)
    weights = [weight[..., kept] for weight in weights]
    if reader is None:
        return weights, None
    rest = np.setdiff1d(np.arange(len(kernel)), kept)
    added = activity[:, rest].mean(axis=0) @ kernel[rest]
    return weights, [kernel[kept], *(one + added for one in bias)]


def most(importance, count):
    """The positions of the largest values, in their own order."""
    return np.sort(np.argsort(-importance, kind="stable")[:count])


def _by_head(dense, x, basis):
    kernel, bias = dense.get_weights()
    heads, width = bias.shape
    kernel, bias = basis.read(
        kernel.reshape(len(kernel), -1), bias.reshape(-1), x
    )
    augmented = np.vstack([kernel, bias]).reshape(-1, heads, width)
    return [augmented[:, head] for head in range(heads)]


def _inverse_root(size):
    """1 / sqrt, and 0 where there is nothing to divide."""
    roots = np.sqrt(size)
    usable = roots > 1e-6 * max(roots.max(), 1e-12)
    return np.divide(1.0, roots, out=np.zeros_like(roots), where=usable)
