"""Randomness, views, masks, memory, pools and copies, each against its plain definition."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from magnetite.learn import pairs
from magnetite.learn.encoders import CrossEncoder, Frozen, StaticEncoder, mlp, pool
from magnetite.learn.encoders.cross_encoder import Sides
from magnetite.learn.memory import Queue
from magnetite.learn.randomness import keyed, mix, mix_rows, uniform
from magnetite.learn.recipes import cross_encoder
from magnetite.learn.types import Padded
from magnetite.learn.views import KeyedDropout, bracket, crop, delete, keyed_dropout

KEYS = mix_rows(torch.arange(4000), 3)


def padded(rows, *, junk=9):
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[junk] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return Padded(ids, mask)


def lists(texts):
    return [
        [token for token, used in zip(ids, mask, strict=True) if used]
        for ids, mask in zip(texts.ids.tolist(), texts.mask.tolist(), strict=True)
    ]


# -- randomness


def test_uniform_is_uniform_and_its_coordinates_are_independent():
    draws = uniform(KEYS, 5).numpy().astype(np.float64)
    assert draws.min() >= 0
    assert draws.max() < 1
    # 4000 draws: mean within 5 · √(1/12/4000) = 0.023, correlations within 5/√4000 = 0.08.
    assert np.abs(draws.mean(0) - 0.5).max() < 0.023
    assert np.abs(np.corrcoef(draws.T) - np.eye(5)).max() < 0.08
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)


def test_a_draw_depends_on_its_key_and_place_alone():
    wide = uniform(KEYS[:6], 4, 7)
    assert torch.equal(uniform(KEYS[2:5], 4, 7), wide[2:5])
    assert torch.equal(uniform(KEYS[:6], 3, 5), wide[:, :3, :5])


def test_seeds_and_keys_differ():
    assert len({mix(a, b) for a in range(30) for b in range(30)}) == 900
    assert mix(1, 2) != mix(2, 1)
    assert len(set(KEYS.tolist())) == len(KEYS)
    assert int(KEYS.min()) >= 0


# -- views


@settings(deadline=None, max_examples=40)
@given(
    texts=st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=6).filter(any),
    seed=st.integers(0, 1000),
)
def test_a_crop_is_a_part_of_the_right_length(texts, seed):
    keys = mix_rows(torch.arange(len(texts)), seed)
    for text, part in zip(texts, lists(crop(padded(texts), keys, low=0.2, high=0.6)), strict=True):
        assert min(len(text), 1) <= len(part) <= max(int(0.6 * len(text)), min(len(text), 1))
        starts = range(len(text) - len(part) + 1)
        assert any(text[s : s + len(part)] == part for s in starts)


def test_crops_begin_everywhere_and_have_every_length():
    texts = padded([list(range(10))]).ids.expand(4000, -1)
    found = lists(crop(Padded(texts, torch.ones_like(texts)), KEYS, low=0.2, high=0.6))
    assert {len(part) for part in found} == {2, 3, 4, 5}  # 6 needs a ratio of exactly 0.6
    assert {part[0] for part in found if len(part) == 2} == set(range(9))


def test_deletion_takes_its_share_and_keeps_the_order():
    texts = padded([list(range(50))]).ids.expand(4000, -1)
    found = lists(delete(Padded(texts, torch.ones_like(texts)), KEYS, share=0.1))
    assert all(part == sorted(part) for part in found)
    gone = 1 - np.mean([len(part) for part in found]) / 50
    assert gone == pytest.approx(0.1, abs=5 * np.sqrt(0.09 / 200_000))
    counts = np.bincount([token for part in found for token in part], minlength=50)
    assert np.abs(counts - 3600).max() < 5 * np.sqrt(360)


def test_views_of_a_text_do_not_depend_on_its_batch():
    rows = [[1, 2, 3, 4, 5, 6], [7, 8], [1, 2, 3]]
    together = lists(delete(padded(rows), KEYS[:3], share=0.4))
    alone = [
        lists(delete(padded([row]), KEYS[i : i + 1], share=0.4))[0] for i, row in enumerate(rows)
    ]
    assert together == alone


def test_brackets_stand_right_around_the_text():
    assert lists(bracket(padded([[5, 6], [], [7]]), [1], [2, 3])) == [
        [1, 5, 6, 2, 3],
        [1, 2, 3],
        [1, 7, 2, 3],
    ]


def test_keyed_dropout_is_the_same_in_any_chunk_and_at_any_width():
    states = torch.randn(6, 4, 3)
    with keyed(KEYS[:6]), KeyedDropout():
        whole = F.dropout(states, 0.5)
        again = F.dropout(states, 0.5)
    with keyed(KEYS[2:4]), KeyedDropout():
        part = nn.Dropout(0.5)(states[2:4, :2])
    assert torch.equal(part, whole[2:4, :2])
    assert not torch.equal(whole, again)
    assert set((whole / states).flatten().tolist()) <= {0.0, 2.0}


def test_keyed_dropout_takes_its_share():
    with keyed(KEYS), KeyedDropout():
        kept = nn.Dropout(0.1)(torch.ones(4000, 50))
    assert float((kept == 0).double().mean()) == pytest.approx(0.1, abs=5 * (0.09 / 200_000) ** 0.5)


def test_keyed_dropout_rests_in_eval_and_refuses_rows_it_cannot_place():
    states = torch.randn(6, 4)
    with keyed(KEYS[:6]), KeyedDropout():
        assert nn.Dropout(0.5).eval()(states) is states
    with keyed(KEYS[:4]), pytest.raises(ValueError, match="6 rows do not belong to 4 examples"):
        keyed_dropout(states, 0.5)
    with KeyedDropout(), pytest.raises(ValueError, match="eager"):
        F.scaled_dot_product_attention(states, states, states, dropout_p=0.1)


# -- who is compared with whom


def test_comparable_leaves_out_duplicates_relevant_and_absent_texts():
    candidates = torch.tensor([7, 8, 7, 9, -1])
    keep = pairs.comparable(candidates, torch.tensor([0, 1]), torch.tensor([[7, 9], [8, -1]]))
    assert keep.tolist() == [[True, True, False, False, False], [True, True, True, True, False]]


def test_near_duplicates_score_above_the_positive():
    scores = torch.tensor([[0.5, 0.9, 0.55], [0.1, 0.2, 0.1]])
    found = pairs.near_duplicate(scores, torch.tensor([0, 1]), margin=0.1)
    assert found.tolist() == [[False, True, False], [False, False, False]]


def test_masks_by_hand():
    assert pairs.own_row(torch.zeros(3, 2)).tolist() == [0, 1, 2]
    assert pairs.off_diagonal(2).tolist() == [[False, True], [True, False]]
    assert pairs.same(torch.tensor([1, 2]), torch.tensor([2])).tolist() == [[False], [True]]
    assert pairs.among(torch.tensor([[1, 5]]), torch.tensor([5, 2])).tolist() == [[True, False]]


# -- memory


@settings(deadline=None, max_examples=30)
@given(size=st.integers(1, 7), pushes=st.lists(st.integers(1, 9), max_size=6))
def test_the_queue_holds_the_latest_rows(size, pushes):
    queue, pushed = Queue(size, 2), []
    for count in pushes:
        rows = torch.randn(count, 2)
        numbers = torch.arange(len(pushed), len(pushed) + count)
        queue.push(rows, numbers)
        pushed += [(int(n), row.tolist()) for n, row in zip(numbers, rows, strict=True)]
    held = zip(queue.examples.tolist(), queue.rows.tolist(), strict=True)
    assert sorted(item for item in held if item[0] >= 0) == pushed[-size:]


def test_the_queue_starts_with_random_unit_rows_apart_from_every_example():
    queue = Queue(5, 3)
    assert_close(queue.rows.norm(dim=1), torch.ones(5))
    assert queue.apart(torch.tensor([0, 10**12]), distance=10**9).all()
    queue.push(torch.zeros(1, 3), torch.tensor([4]))
    apart = queue.apart(torch.tensor([4, 6]), distance=2)
    assert apart[:, 0].tolist() == [False, True]


# -- encoders

POOLS = [pool.mean, pool.first, pool.last, pool.largest]


@pytest.mark.parametrize("function", POOLS, ids=lambda f: f.__name__)
def test_pools_do_not_see_padding(function):
    states = torch.randn(3, 5, 4)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
    found = function(states, mask)
    for row, used in enumerate(mask.sum(1).tolist()):
        text = states[row, :used]
        wanted = {"mean": text.mean(0), "first": text[0], "last": text[-1]}
        wanted["largest"] = text.amax(0)
        assert_close(found[row], wanted[function.__name__])
    assert function(states, torch.zeros_like(mask)).isfinite().all()


def test_a_static_vector_is_the_normalised_weighted_sum():
    encoder = StaticEncoder(torch.randn(9, 4), torch.rand(9))
    found = encoder(
        torch.tensor([[1, 2, 2], [3, 0, 0], [5, 5, 5]]),
        torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]]),
    )
    table, weight = encoder.table, encoder.weight
    first = weight[1] * table[1] + 2 * weight[2] * table[2]
    assert_close(found[0], first / first.norm())
    assert_close(found[1], table[3] / table[3].norm())
    assert found[2].tolist() == [0.0] * 4


def test_a_static_encoder_starts_from_what_an_artifact_stores():
    steps, scale = torch.randint(-127, 128, (6, 3), dtype=torch.int8), torch.rand(6)
    encoder = StaticEncoder.from_int8(steps, scale, torch.ones(6))
    assert_close(encoder.table.detach(), steps * scale[:, None])
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    with pytest.raises(ValueError, match="from_int8"):
        StaticEncoder(steps)
    with pytest.raises(ValueError, match=r"weight must be \[6\]"):
        StaticEncoder(torch.rand(6, 3), torch.rand(5))


def test_a_frozen_copy_cannot_be_woken():
    copy = Frozen(nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)))
    nn.ModuleList([copy]).train()
    assert not copy.module.training
    x = torch.randn(4, 3)
    assert torch.equal(copy(x), copy(x))
    assert not copy(x.requires_grad_()).requires_grad


def test_a_momentum_copy_follows_at_its_distance():
    source = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    copy = Frozen(source)
    before = copy.module[0].weight.clone()
    with torch.no_grad():
        source[0].weight += 1.0
    source[1].running_mean += 3.0
    copy.follow(source, momentum=0.9)
    assert_close(copy.module[0].weight, 0.9 * before + 0.1 * source[0].weight)
    assert torch.equal(copy.module[1].running_mean, source[1].running_mean)


def test_an_mlp_has_norm_and_activation_between_its_layers_only():
    kinds = [type(layer) for layer in mlp(4, 3, 2, norm=nn.BatchNorm1d)]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert [layer.out_features for layer in mlp(4, 3, 2) if isinstance(layer, nn.Linear)] == [3, 2]


@pytest.mark.parametrize(
    ("span", "places"),
    [((), [(slice(2), slice(2, 5)), (slice(1), slice(1, 3))]), ((5, 8), [(slice(1), slice(2, 5))])],
)
def test_sides_are_the_cosine_of_their_mean_states(span, places):
    ids = torch.tensor([[5, 8, 9, 6, 7, 0], [5, 9, 6, 0, 0, 0], [6, 6, 7, 7, 0, 0]])
    mask, states = (ids > 0).long(), torch.randn(3, 6, 4)
    found = Sides(9, span, scale=3.0)(states, ids, mask)
    for row, (query, document) in enumerate(places):
        left, right = states[row, query].mean(0), states[row, document].mean(0)
        wanted = 3 * (left @ right) / (left.norm() * right.norm())
        assert_close(found[row, 0], wanted)
    assert found[2].item() == 0.0  # it has no document


def test_sides_want_markers_that_tell_them_apart(tiny_tower):
    for how in ({"markers": ()}, {"markers": ["[Q]", "[D]"], "in_text": True}):
        with pytest.raises(ValueError, match="sides are told apart by two"):
            CrossEncoder.over(tiny_tower, sides=True, **how)


def test_a_cross_encoder_does_not_begin_as_a_table_of_vectors():
    table = StaticEncoder(torch.zeros(9, 4), torch.ones(9))
    with pytest.raises(ValueError, match="begins as a transformer"):
        cross_encoder.CrossEncoding(table)
