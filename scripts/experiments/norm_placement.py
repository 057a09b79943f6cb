"""Gradients of a transformer at initialisation: LayerNorm after the sum (Post-LN) or before the sublayer (Pre-LN).

The setting of Xiong et al. 2020 (arXiv 2002.04745), section 3, in small: Xavier weights, a linear output, the loss of
random targets. PyTorch, float32, because the gradients of the whole network are needed.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.experiments.recorded import Result, recorded

WIDTH, HEADS, CLASSES, BATCH, LENGTH, SEEDS = 64, 4, 64, 16, 16, 5


class Stack(nn.Module):
    """`layers` encoder blocks and a linear output; Pre-LN has a final LayerNorm."""

    def __init__(self, layers: int, pre_ln: bool):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, batch_first=True, norm_first=pre_ln)
            for _ in range(layers)
        )
        self.final = nn.LayerNorm(WIDTH) if pre_ln else nn.Identity()
        self.output = nn.Linear(WIDTH, CLASSES)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Logits and the output of every block."""
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return self.output(self.final(x)), outputs


def at_initialization(kind: str, layers: int, seeds: int = SEEDS) -> Result:
    """`kind` is pre or post; means over the seeds, (layers,).

    `gradient`: Frobenius norm of the gradient of W_2 of every FFN; `size`: root mean square of a coordinate of every
    block's output.
    """
    torch.set_num_threads(1)
    gradients, sizes = [], []
    for seed in range(seeds):
        torch.manual_seed(seed)
        stack = Stack(layers, kind == "pre")
        logits, outputs = stack(torch.randn(BATCH, LENGTH, WIDTH))
        F.cross_entropy(logits.flatten(0, 1), torch.randint(CLASSES, (BATCH * LENGTH,))).backward()
        gradients.append([block.linear2.weight.grad.norm().item() for block in stack.blocks])
        sizes.append([output.square().mean().sqrt().item() for output in outputs])
    return {name: np.mean(runs, axis=0).astype(np.float32) for name, runs in (("gradient", gradients), ("size", sizes))}


@recorded
def gradients(kind: str, layers: int) -> Result:
    """`at_initialization` of a stack."""
    return at_initialization(kind, layers)
