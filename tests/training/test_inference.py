"""What an answer costs is measured once for each model, device and size, in at most three seconds."""

from types import SimpleNamespace

import pytest
import torch
from common.training import inference
from common.training.device import Precision
from helpers.small_project import make_small_project, record, run_small

PROCESSOR = Precision("fp32", torch.device("cpu"))


class Clocked(torch.nn.Module):
    """Stands in for a model: an answer takes ``fixed`` seconds and ``each`` more for every pair."""

    def __init__(self, fixed: float, each: float, fault: str = ""):
        super().__init__()
        self.fixed, self.each, self.fault, self.now = fixed, each, fault, 0.0

    def forward(self, input_ids, attention_mask, pixel_values):
        assert input_ids.shape == attention_mask.shape == (len(pixel_values), 7)
        assert pixel_values.shape[1:] == (3, 16, 16) and pixel_values.dtype == torch.uint8
        assert torch.is_inference_mode_enabled() and not self.training
        if self.fault and len(pixel_values) > 1:
            raise RuntimeError(self.fault)
        self.now += self.fixed + self.each * len(pixel_values)
        return torch.zeros(len(pixel_values), 3)


def measured(monkeypatch, model: Clocked) -> tuple:
    monkeypatch.setattr(inference, "time", SimpleNamespace(perf_counter=lambda: model.now))
    return tuple(inference.measure(model, PROCESSOR, 7, 16, 8).values())


def test_milliseconds_are_those_of_a_pair_alone_and_in_batches(monkeypatch):
    assert measured(monkeypatch, Clocked(0.006, 0.004)) == pytest.approx((10, 4.75, None))


@pytest.mark.parametrize("seconds, known", [(0.01, 2), (0.3, 1), (1, 0), (2.9, 0)])
def test_what_takes_longer_than_three_seconds_is_not_measured(monkeypatch, seconds, known):
    model = Clocked(0, seconds)
    found = measured(monkeypatch, model)
    assert [each is not None for each in found] == [True] * known + [False] * (3 - known)
    assert model.now <= 3


def test_a_batch_that_does_not_fit_is_not_measured(monkeypatch):
    assert measured(monkeypatch, Clocked(0, 0.01, "CUDA out of memory")) == (
        pytest.approx(10),
        None,
        None,
    )
    with pytest.raises(RuntimeError, match="another fault"):
        measured(monkeypatch, Clocked(0, 0.01, "another fault"))


def test_a_run_takes_the_figures_of_one_that_depends_on_the_same(hub, tmp_path, monkeypatch):
    """A frozen encoder is in them, so the same model fully trained has the same ones."""
    project, calls = make_small_project(tmp_path), []

    def measure(model, precision, tokens, image_size, batch_size):
        ids = torch.ones(batch_size, tokens, dtype=torch.int64)
        pixels = torch.zeros(batch_size, 3, image_size, image_size, dtype=torch.uint8)
        assert model(ids, ids, pixels).shape == (batch_size, 3)  # the whole model, from its inputs
        calls.append(batch_size)
        return dict(zip(inference.INFERENCE, (len(calls), None, None), strict=True))

    monkeypatch.setattr(inference, "measure", measure)
    flags = ["--freeze-encoders"], ["--seed", "43"], ["--seed", "44", "--batch-size", "2"]
    found = [record(run_small(project, hub, "clip", *more)) for more in flags]
    assert [each["inference_ms"] for each in found] == [1, 1, 2] and calls[1:] == [2]
    assert found[0]["inference"] == found[1]["inference"] != found[2]["inference"]
