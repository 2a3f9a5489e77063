"""What the loop promises beyond the recipes' contracts, on tiny static encoders."""

import json
import os
import signal
from dataclasses import replace

import cases
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from magnetite import learn
from magnetite.learn.data import Data, Vectors, in_order
from magnetite.learn.objectives import alignment
from magnetite.learn.recipes import pairs
from magnetite.learn.train import constant, cosine, linear, plot_log, read_log
from magnetite.learn.train.gradient import accumulate


def some_data(n=48) -> learn.Data:
    words = cases.texts(2 * n, seed=0)
    return learn.Data.of_texts(query=words[:n], document=words[n:])


def run(method=None, data=None, *, judge=None, **settings):
    torch.manual_seed(0)
    method = method or pairs.Pairs(cases.static())
    length = {} if "steps" in settings else {"epochs": 2}
    given = length | {"batch": 16, "lr": 0.05, "progress": False} | settings
    return learn.train(method, data or some_data(), learn.Settings(**given), judge=judge), method


class Linear(learn.Method):
    """y = w·x by squared error: small enough to follow by hand."""

    def __init__(self, dim=2):
        super().__init__()
        self.embedder = nn.Linear(dim, 1, bias=False)
        self.embedder.tokenizer = None
        nn.init.zeros_(self.embedder.weight)
        self.seen = []

    def encode(self, batch):
        return {"y": self.embedder(batch.inputs["x"])}

    def loss(self, z, facts):
        self.seen.append(facts["row"].tolist())
        return {"error": alignment(z["y"], facts["y"]).mean()}


def line(n=12):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    return Data({"x": Vectors(x), "y": x @ torch.tensor([[1.0], [-2.0]])})


def test_training_lowers_the_loss():
    losses = run(epochs=15)[0].losses
    assert sum(losses[-5:]) < sum(losses[:5]) / 2


# -- what comes when


def test_every_row_comes_once_a_pass_and_the_rest_of_a_batch_another_time():
    method = Linear()
    outcome, _ = run(method, line(13), batch=4, epochs=3)
    assert outcome.steps == len(outcome.losses) == 9
    passes = [[row for rows in method.seen[i : i + 3] for row in rows] for i in (0, 3, 6)]
    assert all(len(set(rows)) == 12 for rows in passes)
    assert len({tuple(rows) for rows in passes}) == 3


class InPhases(Linear):
    """Three phases: two of the data's length, one of its own."""

    def phase(self, k, data, infer):
        lengths = [None, None, 5]
        return learn.Phase(data, in_order, lengths[k]) if k < len(lengths) else None


def test_phases_last_as_long_as_they_say(tmp_path):
    def visited(**settings):
        log = run(InPhases(), line(12), batch=4, out=tmp_path / str(settings), **settings)[0].log
        return [entry["phase"] for entry in read_log(log)]

    assert visited(epochs=1) == [0] * 3 + [1] * 3 + [2] * 5
    assert visited(epochs=2) == [0] * 6 + [1] * 6 + [2] * 5
    assert visited(steps=4) == [0] * 3 + [1]
    assert visited(steps=14) == [0] * 3 + [1] * 3 + [2] * 8  # the last one again


def test_too_few_rows_for_a_batch_are_refused():
    with pytest.raises(ValueError, match="13 examples do not fill one batch of 64"):
        run(Linear(), line(13), batch=64)


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (linear, [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        (constant, [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        (cosine, [0.5, 1.0, 1.0, 0.8536, 0.5, 0.1464]),
    ],
)
def test_the_rate_rises_then_follows_its_schedule(tmp_path, schedule, wanted):
    settings = {"warmup": 1 / 3, "schedule": schedule, "lr": 0.1, "out": tmp_path}
    outcome, _ = run(Linear(), line(12), batch=4, **settings)
    rates = [entry["lr"] / 0.1 for entry in read_log(outcome.log)]
    assert rates == pytest.approx(wanted, abs=1e-4)


def test_groups_have_their_own_rate_and_decay():
    class Grouped(Linear):
        def __init__(self):
            super().__init__()
            self.still = nn.Parameter(torch.ones(1))

        def loss(self, z, facts):
            return super().loss({"y": z["y"] * self.still}, facts)

        def groups(self):
            return [learn.Group([self.embedder.weight]), learn.Group([self.still], lr=0.0)]

    _, method = run(Grouped(), line(12), batch=4)
    assert method.still.item() == 1.0
    assert method.embedder.weight.any()
    method.groups = lambda: [learn.Group([method.embedder.weight])]
    with pytest.raises(ValueError, match=r"once; look at \['still'\]"):
        run(method, line(12), batch=4)


# -- gradients


@pytest.mark.parametrize("chunk", [1, 3, 8, 100])
def test_chunks_change_no_gradient_and_call_the_loss_once(chunk):
    torch.manual_seed(0)
    method = cases.Mixed().double()
    batch = cases.mixed_data().take(torch.arange(8)).having(facts={"key": torch.arange(8) * 7})
    found = []
    for size in (None, chunk):
        method.norm.reset_running_stats()
        method.zero_grad()
        step = accumulate(method, batch, seed=1, chunk=size)
        grads = {name: p.grad for name, p in method.named_parameters()}
        found.append((step.total, grads, method.norm.running_mean, step.z["count"]))
    assert_close(found[1], found[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("chunk", [None, 4])
def test_half_precision_encodes_in_half_and_compares_in_float32(precision, chunk):
    kinds = set()

    class Watched(cases.Mixed):
        def encode(self, batch):
            z = super().encode(batch)
            kinds.add(("encode", z["a"].dtype))
            return z

        def loss(self, z, facts):
            kinds.add(("loss", z["a"].dtype))
            return super().loss(z, facts)

    data = Data({name: Vectors(cases.mixed_data()[name].values.float()) for name in "ab"})
    outcome, method = run(Watched(), data, batch=8, epochs=8, chunk=chunk, precision=precision)
    assert kinds == {("encode", precision), ("loss", torch.float32)}
    assert outcome.losses[-1] < outcome.losses[0]
    assert {p.dtype for p in method.parameters()} == {torch.float32}


def test_the_gradient_is_clipped_as_a_whole(tmp_path):
    # With eps = 1, AdamW's first step is lr · g / (|g| + 1): it shows the size of the gradient.
    def first_step(clip, out):
        settings = {"steps": 1, "batch": 4, "clip": clip, "eps": 1.0, "out": tmp_path / out}
        outcome, method = run(Linear(), line(12), schedule=constant, **settings)
        moved = method.embedder.weight.detach().abs() / 0.05
        return read_log(outcome.log)[0]["norm"], (moved / (1 - moved)).norm().item()

    norm, free = first_step(None, "free")
    assert free == pytest.approx(norm, rel=1e-4)
    assert first_step(0.5, "clipped") == pytest.approx((norm, 0.5), rel=1e-4)


def test_a_loss_that_is_not_finite_stops_the_run():
    data = line(12)
    data = data.having(y=data["y"].index_fill(0, torch.tensor([3]), torch.nan))
    with pytest.raises(FloatingPointError, match=r"step \d: the loss is nan .* lower lr"):
        run(Linear(), data, batch=4)


# -- phases and inference


def test_inference_is_in_order_without_gradient_and_remembered(tmp_path):
    calls = []

    class Looks(Linear):
        def phase(self, k, data, infer):
            def work():
                calls.append(k)
                y = infer(data)["y"]
                assert y.shape == (13, 1)
                assert not y.requires_grad
                assert_close(y, self.embedder(data["x"].values).detach())
                return {"y": y}

            assert infer.derive(work)["y"].shape == (13, 1)
            return learn.Phase(data) if k < 2 else None

    settings = {"batch": 4, "infer_batch": 5, "out": tmp_path, "epochs": 1}
    run(Looks(), line(13), **settings)
    assert calls == [0, 1, 2]
    run(Looks(), line(13), **settings, resume=True)
    assert calls == [0, 1, 2, 2]  # phase 1 was remembered; what comes after it was not saved


def test_looking_outside_of_derive_is_refused():
    class Careless(Linear):
        def phase(self, k, data, infer):
            infer(data)

    with pytest.raises(RuntimeError, match="the function given to derive"):
        run(Careless(), line(12), batch=4)


# -- the judge


def test_the_weights_that_the_judge_likes_best_are_kept(tmp_path):
    verdicts, weights = iter([0.1, 0.9, 0.3, 0.2]), []

    def judge(method):
        assert not method.training
        assert not torch.is_grad_enabled()
        weights.append(method.embedder.weight.clone())
        return next(verdicts)

    outcome, method = run(Linear(), line(12), batch=4, epochs=4, judge=judge, out=tmp_path)
    assert (outcome.best, outcome.best_step) == (0.9, 6)
    assert torch.equal(method.embedder.weight, weights[1])
    assert not method.training
    judged = [entry for entry in read_log(outcome.log) if "judge" in entry]
    assert [(entry["step"], entry["judge"]) for entry in judged] == [
        (3, 0.1),
        (6, 0.9),
        (9, 0.3),
        (12, 0.2),
    ]
    plot_log(outcome.log, tmp_path / "log.svg")
    assert (tmp_path / "log.svg").stat().st_size > 1000


def test_the_judge_comes_as_often_as_asked():
    def steps(**settings):
        outcome = run(Linear(), line(12), batch=4, judge=lambda _: next(count), **settings)[0]
        return outcome.best_step, next(count)

    count = iter(range(100))
    assert steps(epochs=2) == (6, 2)
    count = iter(range(100))
    assert steps(epochs=2, judge_every=2) == (6, 3)
    count = iter(range(100))
    assert steps(steps=5, judge_every=4) == (5, 3)  # and at the end of each phase


# -- stopping and going on


def test_ctrl_c_finishes_the_step_and_the_resumed_run_is_the_same_run(tmp_path):
    whole, left = run(cases.Mixed(), mixed_float(), batch=4, judge=weigh)

    class Impatient(cases.Mixed):
        def after_step(self, z, facts):
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == 3:
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(Impatient(), mixed_float(), batch=4, judge=weigh, out=tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["place"]["step"] == 3
    rest, right = run(cases.Mixed(), mixed_float(), batch=4, judge=weigh, out=tmp_path, resume=True)
    assert rest.losses == whole.losses[3:]
    assert (rest.best, rest.best_step) == (whole.best, whole.best_step)
    assert_close(right.state_dict(), left.state_dict(), rtol=0, atol=0)
    steps = [json.loads(entry)["step"] for entry in rest.log.read_text().splitlines()]
    assert steps == sorted(steps)
    assert set(steps) == set(range(1, whole.steps + 1))


def mixed_float():
    return Data({name: Vectors(cases.mixed_data()[name].values.float()) for name in "ab"})


def weigh(method):
    return -float(method.log_scale)


def test_a_finished_run_resumes_to_nothing(tmp_path):
    first, left = run(out=tmp_path)
    again, right = run(out=tmp_path, resume=True)
    assert (again.steps, again.losses) == (first.steps, [])
    assert_close(right.state_dict(), left.state_dict(), rtol=0, atol=0)


def test_another_run_is_never_overwritten_or_mixed_in(tmp_path):
    run(out=tmp_path)
    with pytest.raises(ValueError, match="already holds a run; give resume=True"):
        run(out=tmp_path)
    with pytest.raises(ValueError, match=r"batch was 16, is 8; lr was 0.05, is 0.01"):
        run(out=tmp_path, resume=True, batch=8, lr=0.01)
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"checkpoint.pt is not a readable checkpoint"):
        run(out=tmp_path, resume=True)


def test_a_crash_while_saving_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    run(out=tmp_path, epochs=1)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def crash(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="disk full"):
        learn.train.__globals__["Checkpoints"](tmp_path).save("checkpoint.pt", {"step": 1})
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_what_a_vanished_run_left_behind_is_not_taken_up(tmp_path):
    run(Linear(), line(12), batch=4, judge=lambda _: 5.0, out=tmp_path)
    (tmp_path / "checkpoint.pt").unlink()
    torch.save({"format": 1, "step": 0, "derived": [{}]}, tmp_path / "derived-0.pt")
    outcome, _ = run(Linear(), line(12), batch=4, out=str(tmp_path))
    assert outcome.best is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "log.jsonl"]


def test_training_leaves_the_global_randomness_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    method = Linear()
    torch.manual_seed(5)
    learn.train(method, line(12), learn.Settings(epochs=1, batch=4, progress=False))
    assert torch.equal(torch.rand(3), wanted)


# -- settings


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": None}, "either epochs or steps"),
        ({"steps": 5}, "either epochs or steps"),
        ({"batch": 0}, "batch must be at least 1; got 0"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"warmup": 100}, "share of the steps"),
        ({"precision": torch.float64}, "float32, bfloat16 or float16"),
        ({"resume": True}, "resume needs out"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        replace(learn.Settings(epochs=1), **change)
