"""What is said of a setting that can't be used."""


class ConfigurationError(ValueError):
    """A setting that can't be used: says which, and what is allowed."""


def refuse(name, received, allowed):
    """Raises a `ConfigurationError`: what was received, what is allowed."""
    raise ConfigurationError(
        f"`{name}` must be {allowed}. Received: {received!r}."
    )
