"""Distillation losses."""

from keras_kd.losses.attention_kl import AttentionKL as AttentionKL
from keras_kd.losses.attention_mse import AttentionMSE as AttentionMSE
from keras_kd.losses.chain_soft_targets import (
    ChainSoftTargets as ChainSoftTargets,
)
from keras_kd.losses.confidence_temperature import (
    ConfidenceTemperature as ConfidenceTemperature,
)
from keras_kd.losses.contrastive import Contrastive as Contrastive
from keras_kd.losses.decoupled_kd import DecoupledKD as DecoupledKD
from keras_kd.losses.distillation_loss import (
    DistillationLoss as DistillationLoss,
)
from keras_kd.losses.flow_matching import FlowMatching as FlowMatching
from keras_kd.losses.focal_temperature import (
    FocalTemperature as FocalTemperature,
)
from keras_kd.losses.hidden_state_cosine import (
    HiddenStateCosine as HiddenStateCosine,
)
from keras_kd.losses.hidden_state_mse import HiddenStateMSE as HiddenStateMSE
from keras_kd.losses.layer_transport import LayerTransport as LayerTransport
from keras_kd.losses.logits_mse import LogitsMSE as LogitsMSE
from keras_kd.losses.neuron_selectivity import (
    NeuronSelectivity as NeuronSelectivity,
)
from keras_kd.losses.patient_knowledge import (
    PatientKnowledge as PatientKnowledge,
)
from keras_kd.losses.relational_angle import RelationalAngle as RelationalAngle
from keras_kd.losses.relational_distance import (
    RelationalDistance as RelationalDistance,
)
from keras_kd.losses.self_attention_relations import (
    SelfAttentionRelations as SelfAttentionRelations,
)
from keras_kd.losses.sigmoid_soft_targets import (
    SigmoidSoftTargets as SigmoidSoftTargets,
)
from keras_kd.losses.soft_cross_entropy import (
    SoftCrossEntropy as SoftCrossEntropy,
)
from keras_kd.losses.soft_targets import SoftTargets as SoftTargets
from keras_kd.losses.span_soft_targets import SpanSoftTargets as SpanSoftTargets
from keras_kd.losses.target_classes import (
    probability_shift as probability_shift,
)
