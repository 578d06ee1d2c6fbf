"""What a language model is released with: its card, and the table."""


def card_of(arm, teacher):
    """The model card of a student.

    Args:
        arm: `"alone"` or `"distilled"`.
        teacher: The name of the teacher.
    """
    title = f"A language model distilled from {teacher}"
    if arm == "alone":
        title = f"A language model that begins as layers of {teacher}"
    return (
        f"# {title}\n\nMasked language model, trained "
        f"{'without that teacher' if arm == 'alone' else 'by it'} with "
        "keras_kd. Fine-tune it for a task.\n"
    )


def columns_of(models):
    """The table of results: columns by heading.

    Args:
        models: Dictionary from names to dictionaries of `perplexity`,
            `accuracy`, `parameters` and, of trained ones, `steps`.
    """
    scores = models.values()
    return {
        "model": list(models),
        "perplexity": [f"{one['perplexity']:.2f}" for one in scores],
        "accuracy": [f"{one['accuracy']:.2%}" for one in scores],
        "parameters": [f"{one['parameters']:,}" for one in scores],
        "steps": [f"{one.get('steps', '')}" for one in scores],
        "best step": [f"{one.get('best_step', '')}" for one in scores],
        "tokens/s": [
            f"{one['tokens_per_second']:,.0f}" if "steps" in one else ""
            for one in scores
        ],
    }
