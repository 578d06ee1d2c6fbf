"""Numbers and schedules, read alike."""

# Where a schedule that does not say its range is looked at.
SAMPLED_STEPS = sorted(
    {0, 10**9}
    | {digit * 10**power for power in range(9) for digit in (1, 2, 3, 5)}
)


def value_at(value, step):
    """The value of a number or of a schedule at `step`."""
    return value(step) if callable(value) else value


def lowest_value(value):
    """The lowest value that a number or a schedule takes at any step.

    The schedules of this package state it (`lowest`). Others, Keras' for
    example, are looked at from step 0 to a thousand million, which sees the end
    of a decay, but not every dip of a cycle.

    Returns:
        A float; NaN where a value is not a number.

    Raises:
        TypeError: A string, which `float` would read.
    """
    if isinstance(value, str):
        raise TypeError(
            f"A number or a schedule is needed. Received: '{value}', a string."
        )
    if not callable(value):
        return float(value)
    lowest = getattr(value, "lowest", None)
    if lowest is not None:
        return float(lowest)
    values = [float(value(step)) for step in SAMPLED_STEPS]
    # `min` would drop a NaN that does not come first.
    return min(values, key=lambda number: (number == number, number))


def check_values(**values):
    """Refuses values of a schedule that are not finite numbers."""
    for name, value in values.items():
        if not abs(float(value)) < float("inf"):
            raise ValueError(
                f"`{name}` must be a finite number. Received: {value}"
            )


def check_steps(**steps):
    """Refuses a number of steps that is below 1."""
    for name, number in steps.items():
        if not number >= 1:
            raise ValueError(f"`{name}` must be 1 or more. Received: {number}")
