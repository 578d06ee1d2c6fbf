"""The random states of a model's dropout, which a resumed training needs.

Keras' checkpoints leave them out, so that a run that is resumed would see other
masks than one that was not interrupted.
"""

from keras import ops


def save_random_states(model, store):
    """Writes them into a store of `save_own_variables`."""
    for index, state in enumerate(random_states(model)):
        store[str(index)] = ops.convert_to_numpy(state)


def load_random_states(model, store):
    """Reads them from a store of `load_own_variables`."""
    for index, state in enumerate(random_states(model)):
        state.assign(store[str(index)])


def restart_random_states(model):
    """Has dropout begin anew, as in a model that was just built."""
    for state in random_states(model):
        seed, _ = ops.convert_to_numpy(state)
        state.assign([seed, 0])


def random_states(model):
    """The variables of the seed generators of a model's layers."""
    return [
        variable
        for variable in model.non_trainable_variables
        if variable.name == "seed_generator_state"
    ]
