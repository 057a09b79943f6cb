"""How a pretrained PyTorch network is prepared for another task: what is frozen, and who learns at which rate.

PyTorch rather than NumPy, because the subject is its own switches: `requires_grad` stops a parameter, but only
`eval()` stops the running statistics of batch normalisation. Rates that fall with the distance from the head are the
discriminative fine-tuning of Howard & Ruder 2018 (arXiv 1801.06146), who divide by 2.6 a layer.
"""


# --8<-- [start:freeze]
def freeze(model, parts):
    """Training mode for all of `model` but its modules `parts`.

    Call it at every start of an epoch instead of model.train().
    """
    model.train()
    for part in parts:
        part.requires_grad_(False)  # weights stand still
        part.eval()  # BN: running statistics stand still too


# --8<-- [end:freeze]


# --8<-- [start:groups]
def parameter_groups(blocks, head, head_rate, decay=0.3):
    """For an optimiser: rates fall from the head to the first block."""
    rate, groups = head_rate, []
    for module in [head, *reversed(blocks)]:
        trained = [p for p in module.parameters() if p.requires_grad]
        if trained:
            groups.append({"params": trained, "lr": rate})
        rate *= decay
    return groups


# --8<-- [end:groups]
