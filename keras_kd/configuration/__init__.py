"""The settings of a run, what they may be, and what is said of a wrong one."""

from keras_kd.configuration.choices import LAYER_LOSSES as LAYER_LOSSES
from keras_kd.configuration.choices import LOSSES as LOSSES
from keras_kd.configuration.choices import LOSSES_OF_ROWS as LOSSES_OF_ROWS
from keras_kd.configuration.choices import QUANTIZATIONS as QUANTIZATIONS
from keras_kd.configuration.choices import STUDENTS as STUDENTS
from keras_kd.configuration.choices import TASKS as TASKS
from keras_kd.configuration.choices import TASKS_OF_TOKENS as TASKS_OF_TOKENS
from keras_kd.configuration.effect import (
    settings_without_effect as settings_without_effect,
)
from keras_kd.configuration.errors import (
    ConfigurationError as ConfigurationError,
)
from keras_kd.configuration.setting_types import list_type as list_type
from keras_kd.configuration.setting_types import setting_type as setting_type
from keras_kd.configuration.settings import Configuration as Configuration
