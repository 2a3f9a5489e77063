"""What every recipe in the folder promises, each on the small run that its fixture describes."""

import ast
from dataclasses import fields, replace
from pathlib import Path

import cases
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from magnetite import encode, learn
from magnetite.encode import Encoder
from magnetite.encode.pairs import Pairing
from magnetite.learn import objectives, recipes
from magnetite.learn.encoders import CrossEncoder, embed
from magnetite.learn.export import export
from magnetite.learn.export.static import QUANTIZED_BOUND
from magnetite.learn.randomness import keyed, mix_rows
from magnetite.learn.train.gradient import accumulate
from magnetite.learn.types import Padded, trainable
from magnetite.learn.views import KeyedDropout

every_case = pytest.mark.parametrize("name", cases.names())


class Stop(Exception):
    pass


def settled(method: learn.Method) -> torch.Tensor:
    """Return the vectors that everything the method exports gives some texts."""
    column = learn.Data.of_texts(text=cases.texts(6, seed=99)).texts("text")
    padded = column.table.tokenized(cases.tokenizer(), None).padded(column.rows)
    with torch.no_grad():
        vectors = [embed(module.eval(), padded) for module in method.exports().values()]
    return torch.cat(vectors, dim=-1)


def first_batch(case: cases.Case, method: learn.Method, rows=8) -> learn.Batch:
    """Return a batch of the first phase, with keys and what `draw` adds."""
    phase = method.phase(0, case.data, None)
    examples = phase.examples.tokenized(method.embedder.tokenizer, method.embedder.max_tokens)
    order = phase.order or learn.data.shuffled
    numbers = order(len(examples), batch=rows, seed=1)[:rows]
    batch = examples.take(numbers)
    method.train()
    with torch.no_grad():
        return method.draw(batch.having(facts={"key": mix_rows(numbers, 5)}))


def test_every_recipe_has_a_fixture():
    assert {cases.case(name).recipe for name in cases.names()} == set(recipes.names())


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_says_what_it_is(name):
    about = recipes.find(name).about
    parts = ("Paper:", "Asks:", "Settings:", "Differs:", "Tags:")
    places = [about.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)
    with pytest.raises(AttributeError):
        recipes.find(name).config().anything = 1  # frozen


def test_every_field_of_every_config_is_changed_somewhere():
    changed = {name: set() for name in recipes.names()}
    for case in map(cases.case, cases.names()):
        changed[case.recipe] |= set(case.changes)
    for name, found in changed.items():
        assert found == {field.name for field in fields(recipes.find(name).config)}


@every_case
def test_every_config_field_changes_something(name):
    case = cases.case(name)
    outcome, method = case.train()
    usual = (outcome.losses, settled(method))
    for field, value in case.changes.items():
        other, changed = case.train(replace(case.config, **{field: value}))
        vectors = settled(changed)
        same = vectors.shape == usual[1].shape and torch.equal(vectors, usual[1])
        assert other.losses != usual[0] or not same, f"{field}={value} changes nothing"


@every_case
def test_every_trainable_tensor_gets_a_gradient(name):
    case, touched = cases.case(name), set()
    make = case.make

    def watched(config):
        method = make(config).double()
        for label, parameter in method.named_parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(
                    lambda p, label=label: touched.add(label) if p.grad.any() else None
                )
        return method

    _, method = replace(case, make=watched).train(epochs=1)
    assert {label for label, p in method.named_parameters() if p.requires_grad} == touched


@every_case
@pytest.mark.parametrize("chunk", [1, 3])
def test_chunked_gradients_equal_unchunked(name, chunk):
    case = cases.case(name)
    method = case.method()
    batch = first_batch(case, method)
    found = {}
    for size in (None, chunk):
        method.zero_grad()
        step = accumulate(method, batch, seed=3, chunk=size)
        found[size] = (step.total, [p.grad for p in trainable([method])])
    assert_close(found[chunk], found[None], rtol=1e-9, atol=1e-12)


@every_case
def test_two_processes_equal_one(name, two_processes):
    outcome, method = cases.case(name).train()
    # Sums in another order, twice an epoch through AdamW, whose first steps divide by √v̂.
    assert_close(two_processes[name]["losses"], outcome.losses, rtol=1e-7, atol=1e-9)
    assert_close(two_processes[name]["state"], method.state_dict(), rtol=1e-6, atol=1e-8)


def test_two_processes_equal_one_when_the_loss_mixes_rows_and_learns(two_processes):
    # A weight used on both sides, batch norm, a learned temperature: plain averaging is wrong here.
    outcome, method = cases.train_mixed()
    assert_close(two_processes["mixed"]["losses"], outcome.losses, rtol=1e-10, atol=1e-12)
    assert_close(two_processes["mixed"]["state"], method.state_dict(), rtol=1e-7, atol=1e-9)


def test_two_processes_stop_together_and_go_on_as_one(two_processes):
    outcome, method = cases.train_mixed()
    assert_close(two_processes["resumed"]["losses"], outcome.losses[2:], rtol=1e-10, atol=1e-12)
    assert_close(two_processes["resumed"]["state"], method.state_dict(), rtol=1e-7, atol=1e-9)


@every_case
def test_more_padding_changes_nothing(name):
    case = cases.case(name)
    method = case.method()
    batch = first_batch(case, method)

    def wider(rows):
        if not isinstance(rows, Padded):
            return rows
        junk = torch.randint(0, cases.WORDS, (*rows.ids.shape[:-1], 5))
        ids = torch.cat([rows.ids, junk], -1)
        return Padded(ids, torch.cat([rows.mask, torch.zeros_like(junk)], -1))

    wide = batch.having(inputs={part: wider(rows) for part, rows in batch.inputs.items()})
    with torch.no_grad(), keyed(batch.facts["key"]), KeyedDropout():
        narrow_z = method.encode(batch)
    with torch.no_grad(), keyed(batch.facts["key"]), KeyedDropout():
        wide_z = method.encode(wide)
    assert_close(wide_z, narrow_z, rtol=1e-9, atol=1e-12)


@every_case
def test_the_same_seed_gives_the_same_losses(name):
    case = cases.case(name)
    first, again, other = case.train()[0], case.train()[0], case.train(seed=1)[0]
    assert again.losses == first.losses
    assert other.losses != first.losses


@every_case
def test_a_resumed_run_is_the_same_run(name, tmp_path):
    case = cases.case(name)
    whole, left = case.train()
    stop = len(whole.losses) // 2 + 1
    make = case.make

    def cut(config):
        method = make(config)
        steps = iter(range(1, 10**6))
        remember = method.after_step

        def after_step(z, facts):
            remember(z, facts)
            if next(steps) > stop:
                raise Stop

        method.after_step = after_step
        return method

    with pytest.raises(Stop):
        replace(case, make=cut).train(out=tmp_path, save_every=1)
    rest, right = case.train(out=tmp_path, resume=True)
    assert rest.losses == whole.losses[stop:]
    assert_close(right.state_dict(), left.state_dict(), rtol=0, atol=0)


@every_case
def test_ten_steps_on_one_frozen_batch_lower_the_loss(name):
    case = cases.case(name)
    method = case.method()
    batch = first_batch(case, method)
    optimizer = torch.optim.AdamW(list(trainable([method])), lr=0.003)
    losses = []
    for _ in range(11):
        optimizer.zero_grad()
        losses.append(float(accumulate(method, batch, seed=3).total))
        optimizer.step()
    assert losses[-1] < losses[0]
    assert all(torch.isfinite(torch.tensor(losses)))


@every_case
def test_the_loss_equals_the_papers_written_as_a_loop(name):
    case = cases.case(name)
    method = case.train(epochs=1)[1]  # queues filled
    batch = first_batch(case, method)
    with torch.no_grad(), keyed(batch.facts["key"]), KeyedDropout():
        z = method.encode(batch)
    total = sum(float(loss) for loss in method.loss(z, batch.facts).values())
    assert total == pytest.approx(case.written(z, batch.facts, method), rel=1e-10)


@every_case
def test_each_export_equals_its_module(name, tmp_path):
    case = cases.case(name)
    _, method = case.train(epochs=1)
    column = learn.Data.of_texts(text=cases.texts(9, seed=99)).texts("text")
    for label, module in method.float().exports().items():
        module.eval().max_tokens = module.max_tokens or 32
        export(module, tmp_path / label)
        if isinstance(module, CrossEncoder):
            assert_scores_of_pairs(tmp_path / label, module)
            continue
        found = Encoder.load(tmp_path / label).encode(column.table.texts)
        padded = column.table.tokenized(module.tokenizer, 32).padded(column.rows)
        with torch.no_grad():
            wanted = module(padded.ids, padded.mask)
            again = learn.load(tmp_path / label).eval()(padded.ids, padded.mask)
        # A table is rounded to int8 when it is sealed; what comes back is what was sealed.
        bound = QUANTIZED_BOUND if isinstance(module, learn.StaticEncoder) else 1e-4
        assert_close(torch.from_numpy(found), wanted, rtol=0, atol=bound)
        assert_close(torch.from_numpy(found), again, rtol=0, atol=1e-5)


def assert_scores_of_pairs(folder: Path, module: CrossEncoder) -> None:
    pairs = list(zip(cases.texts(9, seed=99), cases.texts(9, seed=98, high=40), strict=True))
    found = encode.CrossEncoder.load(folder).predict(pairs)
    rows, cut = Pairing.of(module.tokenizer, module.max_tokens).rows(pairs)
    assert len(cut)
    cells = rows.fill(np.arange(9), int(np.diff(rows.starts).max()))
    with torch.no_grad():
        wanted = module(*map(torch.from_numpy, cells))[:, 0]
        again = learn.load(folder).eval()(*map(torch.from_numpy, cells))[:, 0]
    assert_close(torch.from_numpy(found), wanted, rtol=1e-5, atol=1e-5)
    assert_close(again, wanted, rtol=1e-6, atol=1e-6)


@every_case
def test_every_parameter_is_in_one_group(name):
    method = cases.case(name).method()
    grouped = [id(p) for group in method.groups() for p in group.parameters]
    assert sorted(grouped) == sorted(map(id, trainable([method])))


def test_objectives_create_no_modules():
    for path in Path(objectives.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert "nn" not in imported
        assert not {name for name in names if name == "Module"}
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
