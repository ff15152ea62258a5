"""How many steps an epoch has."""

import pytest
import torch

from recbackend.train import Schedule, fit


@pytest.mark.parametrize("rows, least, steps", [(1000, 0, 10), (1000, 5, 10), (1000, 50, 50), (30, 50, 30), (1000, 300, 334)])
def test_small_data_gets_smaller_batches(rows, least, steps):
    model = torch.nn.Linear(1, 1)
    seen = []

    def loss(batch):
        seen.append(batch)
        return model(batch.unsqueeze(1).float() / rows).square().mean()

    fit(model, torch.arange(rows), loss, Schedule(epochs=1, batch=100, least_steps=least), 1)
    assert len(seen) == steps and torch.equal(torch.cat(seen).sort().values, torch.arange(rows))
