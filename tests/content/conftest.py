import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small networks learn sooner on one thread, and the same digits come out on every machine with this build."""
    torch.set_num_threads(1)
