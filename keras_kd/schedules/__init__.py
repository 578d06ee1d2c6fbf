"""Schedules: a value as a function of the step.

One kind of schedule serves the learning rate, the weight of a loss and the
temperature: Keras' `LearningRateSchedule`, so that every schedule of Keras can
be used too, and is saved with its model.
"""

from keras_kd.schedules.constant import ConstantSchedule as ConstantSchedule
from keras_kd.schedules.cosine import CosineSchedule as CosineSchedule
from keras_kd.schedules.joined import JoinedSchedule as JoinedSchedule
from keras_kd.schedules.linear import LinearSchedule as LinearSchedule
from keras_kd.schedules.linear_warmup_decay import (
    LinearWarmupDecay as LinearWarmupDecay,
)
from keras_kd.schedules.values import lowest_value as lowest_value
from keras_kd.schedules.values import value_at as value_at
