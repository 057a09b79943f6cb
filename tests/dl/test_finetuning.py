"""Freezing and rates of fine-tuning, on a small network with batch normalisation."""

import pytest
import torch
from torch import nn

from scripts.dl.finetuning import freeze, parameter_groups


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(4, 3),
    )


def step(network, groups):
    optimizer = torch.optim.SGD(groups)
    loss = nn.functional.cross_entropy(network(torch.randn(8, 1, 9, 9) + 2), torch.arange(8) % 3)
    loss.backward()
    optimizer.step()


def test_a_frozen_part_does_not_change_at_all(network):
    first, second, head = network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    freeze(network, [first])
    step(network, parameter_groups([first, second], head, 0.1))
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("0."))
    assert not any(torch.equal(before[name], after[name]) for name in ("1.0.weight", "1.1.running_mean", "2.weight"))


def test_without_eval_the_statistics_of_a_frozen_part_move(network):
    first, second, head = network
    first.requires_grad_(False)
    network.train()
    weights, mean = first[0].weight.clone(), first[1].running_mean.clone()
    step(network, parameter_groups([first, second], head, 0.1))
    assert torch.equal(first[0].weight, weights)
    assert not torch.equal(first[1].running_mean, mean)


def test_a_later_train_wakes_the_statistics(network):
    freeze(network, [network[0]])
    assert not network[0][1].training
    network.train()
    assert network[0][1].training


def test_rates_fall_towards_the_input(network):
    first, second, head = network
    groups = parameter_groups([first, second], head, 0.1, decay=0.1)
    assert [group["lr"] for group in groups] == pytest.approx([0.1, 0.01, 0.001])
    assert groups[0]["params"] == list(head.parameters())
    freeze(network, [first])
    assert [group["lr"] for group in parameter_groups([first, second], head, 0.1)] == pytest.approx([0.1, 0.03])
