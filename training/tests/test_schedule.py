"""How many steps an epoch has, and what the average of the weights is."""

import numpy as np
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


def trained(schedule, validate=None):
    """The weight after each step, and in the end."""
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1, bias=False)
    seen = []

    def loss(batch):
        seen.append(float(model.weight))
        return (model.weight - batch.float()).square().mean()

    fit(model, torch.arange(20), loss, schedule, 1, validate and (lambda: validate(float(model.weight))))
    return np.array(seen[1:]), float(model.weight)


@pytest.mark.parametrize("span", [0.3, 2.0])
def test_result_is_the_exponential_average_of_the_weights_after_each_step(span):
    schedule = Schedule(epochs=3, batch=2, learning_rate=0.1, final_learning_rate=1.0)
    after, last = trained(schedule)
    after = np.r_[after, last]
    weight = (1 - 1 / (10 * span)) ** np.arange(30)[::-1]
    _, averaged = trained(Schedule(epochs=3, batch=2, learning_rate=0.1, final_learning_rate=1.0, average=span))
    assert averaged == pytest.approx(np.average(after, weights=weight), abs=1e-5) != pytest.approx(last, abs=1e-2)


def test_validation_sees_the_average_and_the_best_of_them_is_kept():
    checks = []

    def validate(weight):
        checks.append(weight)
        return -abs(len(checks) - 2)  # the second epoch is the best

    _, kept = trained(Schedule(epochs=9, batch=2, learning_rate=0.1, average=1.0, patience=1), validate)
    assert len(checks) == 4 and kept == checks[1]
