"""Phi-4-multimodal: Phi-4-mini with a vision tower, a sound encoder, and a LoRA for each, all loaded together.

The sizes of the towers are not in its configuration but in its code (`modeling_phi4mm.py`,
`speech_conformer_encoder.py`), which transformers took over as models/phi4_multimodal.
"""

from __future__ import annotations

from dataclasses import replace

from slipway.architectures.families.decoder import End
from slipway.architectures.families.dense import dense
from slipway.architectures.fields import Fields
from slipway.architectures.parts import Draft, Linear, Plain, Weight

VISION = 428_565_440 + 12_982_272 + 2304
"""SigLIP-so400m of 448 pixels with its pooling head, the projection, two separators"""
SOUND = 441_254_144 + 25_178_112
"""a conformer of 24 layers, and a projection each for sound alone and sound beside pictures"""
RANKS = 256 + 320
"""of the LoRAs for pictures and for sound, on all four matrices of a layer"""


def phi4_multimodal(config: Fields, end: End, model_type: str) -> Draft:
    """The language model as Phi-3 has it, and what is beside it."""
    del model_type
    draft = dense(config, end, "phi3")
    matrices = [weight for weight in draft.layers[0].weights if isinstance(weight, Linear)]
    beside: tuple[Weight, ...] = (
        Plain("vision", VISION, read=0.0),
        Plain("audio", SOUND, read=0.0),
        *(
            Plain("other", RANKS * (matrix.inputs + matrix.outputs) * len(draft.layers), read=0.0)
            for matrix in matrices
        ),
    )
    return replace(draft, outside=draft.outside + beside)
