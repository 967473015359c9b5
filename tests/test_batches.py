"""Batches: crops, order, augmentation, and records back to probabilities."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_runs import TINY, feed

import augmentation
import batches as batching
import card as cards
from inputs import Inputs, predict_rows


def test_crops_are_stretches_of_their_own_record():
    signals = np.arange(20, dtype="float32").reshape(2, 10, 1)
    crops = batching.random_crops(signals, 4, np.random.default_rng(0))
    assert crops.shape == (2, 4, 1)
    for record, crop in zip(signals, crops, strict=True):
        assert crop[0] in record
        np.testing.assert_array_equal(np.diff(crop[:, 0]), 1)


def test_batches_are_the_same_for_the_same_seed_and_epoch_and_others_in_the_next_epoch(demo):
    first, again, other = feed(demo), feed(demo), feed(demo)
    other.epoch = 1
    (signals, _), labels = first[1]
    np.testing.assert_array_equal(signals, again[1][0][0])
    np.testing.assert_array_equal(labels, again[1][1])
    assert not np.array_equal(signals, other[1][0][0])


def test_no_record_comes_twice_in_an_epoch(demo):
    whole = feed(demo, crop=0.0)
    seen = np.concatenate([whole[i][0][0] for i in range(len(whole))])
    assert len(np.unique(seen[:, :, 0], axis=0)) == len(seen) == 48  # 3 batches of 16


def test_only_training_records_are_drawn(demo):
    whole = feed(demo, crop=0.0)
    validation = {record.tobytes() for record in demo.signals[demo.split != "train"]}
    drawn = {record.tobytes() for i in range(len(whole)) for record in whole[i][0][0]}
    assert not drawn & validation


@pytest.mark.parametrize("name", augmentation.AUGMENTATIONS)
def test_every_augmentation_gives_batches_of_the_same_shape(demo, name):
    (signals, features), labels = feed(demo, augmentation=(name,))[0]
    assert (signals.shape, features.shape, labels.shape) == ((16, 100, 12), (16, 2), (16, 5))
    assert np.isfinite(signals).all() and np.isfinite(features).all()


@pytest.mark.parametrize("name", [*augmentation.AUGMENTATIONS, None])
def test_the_shares_of_hosts_are_one_after_the_other_the_whole_batch(demo, name):
    names = (name,) if name else ()
    whole, *shares = (feed(demo, place, augmentation=names)[1] for place in ((0, 1), (0, 2), (1, 2)))
    for expected, *parts in zip((*whole[0], whole[1]), *((*inputs, labels) for inputs, labels in shares), strict=True):
        assert [len(part) for part in parts] == [8, 8]
        np.testing.assert_array_equal(np.concatenate(parts), expected)


@pytest.mark.parametrize(("names", "read"), [(("noise", "lead-dropout"), 4), (("noise", "mixup"), 16)])
def test_a_host_reads_its_share_alone_unless_records_are_mixed(demo, names, read):
    share = feed(demo, (1, 4), augmentation=names)

    class Watched:
        card, rows = share.inputs.card, set()

        def __getitem__(self, rows):
            self.rows.update(rows)
            return Inputs(demo, self.card)[rows]

    share.inputs = Watched()
    share[0]
    assert len(Watched.rows) == read
    if read == 4:
        assert Watched.rows == set(share.order[4:8])


def test_crops_of_a_record_change_from_epoch_to_epoch(demo):
    rows = demo.rows("train")[:1]
    config = replace(TINY, batch_size=1)
    one = batching.Batches(Inputs(demo, cards.describe(config, demo, rows)), rows, config, demo.labels)
    first = one[0][0][0]
    one.epoch = 1
    assert not np.array_equal(first, one[0][0][0])


def test_with_sampling_power_one_each_class_is_drawn_as_often(demo_of_one_class):
    drawing = feed(demo_of_one_class, sampling_power=1.0)
    counts = np.zeros(5)
    for epoch in range(200):
        drawing.epoch = epoch
        counts += demo_of_one_class.labels[drawing.order].sum(axis=0)
    np.testing.assert_allclose(counts / counts.sum(), 0.2, atol=0.02)
    assert len(drawing.order) == len(demo_of_one_class.rows("train"))


def test_windows_are_averaged_over_halves_that_overlap(demo):
    card = cards.describe(TINY, demo, demo.rows("train"))
    rows = demo.rows("validation")[:2]

    class MeanOfLeadI:
        def predict_on_batch(self, inputs):
            return inputs[0][:, :, :1].mean(axis=1)

    expected = [np.mean([demo.signals[row, s : s + 400, 0].mean() for s in (0, 200, 400, 600)]) for row in rows]
    averaged = predict_rows(MeanOfLeadI(), Inputs(demo, card), rows, window=400)
    np.testing.assert_allclose(averaged[:, 0], expected, atol=1e-6)
