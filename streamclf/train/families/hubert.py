"""HuBERT with a frame head: transformers has none, so here is one of the same make as its kin's.

A checkpoint of it is written by `save_pretrained` like any other and names this class in config.json.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel, HubertPreTrainedModel
from transformers.modeling_outputs import TokenClassifierOutput


class HubertForAudioFrameClassification(HubertPreTrainedModel):  # type: ignore[no-untyped-call]
    """The encoder, its last layer or a learned mean of all of them, and one linear layer on every frame."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__(config)
        self.hubert = HubertModel(config)
        if config.use_weighted_layer_sum:
            layers = config.num_hidden_layers + 1
            self.layer_weights = nn.Parameter(torch.ones(layers) / layers)
        self.classifier = nn.Linear(config.hidden_size, len(config.id2label or ()))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_values: Tensor, attention_mask: Tensor | None = None, **more: Any) -> TokenClassifierOutput:
        """input_values: (B, samples) -> logits (B, F, classes)."""
        weighted = self.config.use_weighted_layer_sum
        outputs = self.hubert(
            input_values, attention_mask=attention_mask, output_hidden_states=weighted, return_dict=True, **more
        )
        hidden = outputs.last_hidden_state
        if weighted:
            shares = self.layer_weights.softmax(dim=-1).view(-1, 1, 1)
            hidden = (torch.stack(outputs.hidden_states, dim=1) * shares).sum(dim=1)
        return TokenClassifierOutput(logits=self.classifier(hidden))
