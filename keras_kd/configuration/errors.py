"""What is said of a setting that can't be used."""


class ConfigurationError(ValueError):
    """A setting that can't be used: says which, and what is allowed."""


def in_words(changes):
    """What has changed, `{name: (before, now)}`, as part of a sentence."""
    return "; ".join(
        f"`{name}` was {before!r}, and is {now!r} now"
        for name, (before, now) in changes.items()
    )


def refuse(name, received, allowed):
    """Raises a `ConfigurationError`: what was received, what is allowed."""
    raise ConfigurationError(
        f"`{name}` must be {allowed}. Received: {received!r}."
    )
