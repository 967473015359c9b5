"""Rare classes: weighted more, drawn more often, or filled up with records that come from training alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_class_weight

import balance
import records
from dataset import Dataset

FOUR_AND_ONE = np.array([[1, 0], [1, 0], [1, 0], [1, 1]])


@pytest.mark.parametrize(
    "power, expected",
    [
        (1, [1 / 2.5, 4 / 2.5]),  # 4/4 and 4/1, whose mean is 2.5
        (0.5, [1 / 1.5, 2 / 1.5]),  # their square roots, whose mean is 1.5
        (0, [1, 1]),
    ],
)
def test_weights_are_powers_of_the_inverse_frequency_with_mean_one(power, expected):
    np.testing.assert_allclose(balance.class_weights(FOUR_AND_ONE, power), expected)


def test_balanced_weights_stand_to_each_other_as_those_of_scikit_learn():
    labels = np.eye(3)[[0, 0, 0, 0, 0, 1, 1, 2]]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.argmax(axis=1))
    np.testing.assert_allclose(balance.class_weights(labels), expected / expected.mean())


def test_a_class_without_a_record_is_named_and_refused():
    labels = np.array([[1, 0, 0], [1, 1, 0]])
    with pytest.raises(ValueError, match=r"classes number \[2\] have no positive training record"):
        balance.class_weights(labels)


def test_a_class_without_a_record_does_not_matter_where_all_weigh_the_same():
    assert balance.class_weights(np.array([[1, 0], [1, 0]]), power=0).tolist() == [1, 1]


@pytest.mark.parametrize(
    "power, expected",
    [
        (1, [1 / 7, 1 / 7, 1 / 7, 4 / 7]),  # 1/4, 1/4, 1/4 and 1/1, whose sum is 7/4
        (0.5, [0.2, 0.2, 0.2, 0.4]),  # their square roots, whose sum is 5/2
        (0, [0.25] * 4),
    ],
)
def test_a_record_is_drawn_by_a_power_of_the_inverse_frequency_of_its_rarest_class(power, expected):
    np.testing.assert_allclose(balance.sampling_weights(FOUR_AND_ONE, power), expected)


def test_at_power_one_all_classes_are_drawn_equally_often():
    labels = np.eye(3)[[0, 0, 0, 0, 0, 0, 1, 1, 1, 2]]
    np.testing.assert_allclose(balance.sampling_weights(labels) @ labels, [1 / 3] * 3)


def test_a_record_of_no_class_is_drawn_as_one_of_the_commonest():
    labels = np.array([[1, 0], [0, 0], [1, 0], [0, 1]])
    np.testing.assert_allclose(balance.sampling_weights(labels), [0.2, 0.2, 0.2, 0.4])


def beats(classes, values, held_out=7.0, features=None, **changes):
    """Beats `(beats, 2 samples, 1 lead)` of training, with these classes and values, between an N of validation and
    a V of test.
    """
    names = sorted({"N", "V", *classes})
    values = [[held_out] * 2, *values, [held_out] * 2]
    whole = {
        "signals": np.array(values, "float32")[..., None],
        "labels": np.array([[name == letter for name in names] for letter in f"N{classes}V"], int),
        "classes": tuple(names),
        "leads": ("MLII",),
        "sampling_rate": 360,
        "groups": np.array(["100", *["208"] * len(classes), "233"]),
        "split": np.array(["validation", *["train"] * len(classes), "test"]),
        "records": pd.DataFrame({"name": ["100", *["208"] * len(classes), "233"], "sample": range(len(values))}),
        "multilabel": False,
    }
    if features is not None:
        features = np.array([[held_out], *features, [held_out]], "float32")
        whole |= {"features": features, "feature_names": ("RR before (s)",)}
    return Dataset(**(whole | changes))


def smote(data, **options):
    return balance.smote(data, data.rows("train"), **options)


def synthetic(data, **options):
    """Signals `(synthetic, 2)`, features and labels of the synthetic beats alone."""
    grown, _ = smote(data, **options)
    new = slice(len(data.labels), None)
    return grown.signals[new, :, 0], grown.features[new], grown.labels[new]


def random_beats(classes, **changes):
    rng = np.random.default_rng(0)
    return beats(classes, rng.uniform(-1, 1, (len(classes), 2)), features=rng.random((len(classes), 1)), **changes)


def test_synthetic_beats_lie_between_two_of_their_class_in_signals_and_features_alike():
    data = beats("NNNNNNVV", [[5, 5]] * 6 + [[0, 0], [1, 2]], features=[[9]] * 6 + [[0], [10]])
    signals, features, labels = synthetic(data)
    assert labels.tolist() == [[0, 1]] * 4
    assert np.all((signals[:, 0] > 0) & (signals[:, 0] < 1))
    np.testing.assert_allclose(signals[:, 1], 2 * signals[:, 0], rtol=1e-5)
    np.testing.assert_allclose(features[:, 0], 10 * signals[:, 0], rtol=1e-5)


@pytest.mark.parametrize("share, counts", [(1, [10, 10, 10]), (0.5, [10, 5, 5]), (0.35, [10, 4, 4]), (0, [10, 3, 4])])
def test_classes_are_raised_to_a_share_of_the_largest_and_never_lowered(share, counts):
    grown, rows = smote(random_beats("N" * 10 + "S" * 3 + "V" * 4), share=share)
    assert grown.labels[rows].sum(axis=0).tolist() == counts
    assert rows.tolist() == grown.rows("train").tolist()


def test_where_no_class_lacks_records_the_dataset_stays_the_same_one():
    data = random_beats("NNSSVV")
    assert smote(data)[0] is data


def test_any_counts_are_raised_as_promised(hypothesis):
    counts = hypothesis.strategies.integers(2, 12)

    @hypothesis.given(counts, counts, counts, hypothesis.strategies.floats(0, 1), hypothesis.strategies.integers(1, 9))
    def holds(normal, atrial, ventricular, share, neighbours):
        data = random_beats("N" * normal + "S" * atrial + "V" * ventricular)
        grown, rows = smote(data, share=share, neighbours=neighbours)
        wanted = round(share * max(normal, atrial, ventricular))
        expected = [max(count, wanted) for count in (normal, atrial, ventricular)]
        assert grown.labels[rows].sum(axis=0).tolist() == expected

    holds()


def test_records_that_were_there_keep_every_bit():
    data = random_beats("NNNNNNSSVV")
    grown, rows = smote(data)
    for name in ("signals", "features", "labels", "groups", "split"):
        before, after = getattr(data, name), getattr(grown, name)[: len(data.labels)]
        np.testing.assert_array_equal(after, before)
    pd.testing.assert_frame_equal(grown.records[: len(data.labels)], data.records)
    assert (grown.signals.dtype, grown.features.dtype) == (np.float32, np.float32)
    for split in ("validation", "test"):
        assert grown.rows(split).tolist() == data.rows(split).tolist()


def test_no_synthetic_beat_descends_from_validation_or_test():
    near, far = (synthetic(random_beats("NNNNNNSSVV", held_out=value)) for value in (0, 1000))
    for values, others in zip(near, far, strict=True):
        np.testing.assert_array_equal(values, others)
    assert np.abs(near[0]).max() < 1  # as all training beats


def test_no_synthetic_beat_descends_from_training_records_that_were_not_asked_for():
    data = beats("NNNNVVVV", [[0, 0]] * 4 + [[0, 0], [1, 1], [50, 50], [60, 60]])
    grown, rows = balance.smote(data, rows=np.arange(1, 7))  # without the last two
    assert len(rows) == 6 + 2
    assert grown.signals[rows].max() <= 1


@pytest.mark.parametrize(
    "values, features, most, column",
    [
        ([0, 1, 20, 21], [0, 300, 0, 300], 1000, 0),  # near in signals, however large the feature's unit is
        ([0, 6, 0, 6], [0, 0.001, 0.020, 0.021], 0.02, 1),  # near in the feature, however small its unit is
    ],
)
def test_signals_and_features_have_the_same_say_in_who_is_near(values, features, most, column):
    values = np.array([0, 20] * 20 + values)[:, None] * [1, 1]
    features = np.array([0, most] * 20 + features)[:, None]
    signals, features, _ = synthetic(beats("N" * 40 + "VVVV", values, features=features), neighbours=1)
    place = [signals[:, 0], 1000 * features[:, 0]][column]
    assert np.all((place <= 1.001) | (place >= 19.999))
    assert 0 < np.sum(place < 10) < len(place) == 36


def test_unknown_features_are_drawn_as_if_they_were_the_training_median_and_stay_unknown_where_they_were():
    data = beats("NNNNVV", np.zeros((6, 2)), features=[[1], [2], [3], [np.nan], [2], [np.nan]])  # median 2
    grown, _ = smote(data)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(grown.features)), [4, 6])
    assert grown.features[-2:].tolist() == [[2], [2]]


@pytest.mark.parametrize("classes, name, count, counts", [("NNNVVVS", "S", 1, [3, 1, 3]), ("NNNSS", "V", 0, [3, 3, 0])])
def test_a_class_with_nobody_to_draw_to_is_named_and_left_as_it_is(classes, name, count, counts):
    with pytest.warns(UserWarning, match=f"class {name} has {count} training records, so no neighbours: SMOTE leaves"):
        grown, rows = smote(random_beats(classes))
    assert grown.labels[rows].sum(axis=0).tolist() == counts


def test_synthetic_beats_are_of_training_and_of_nobody():
    data = random_beats("NNNNVV")
    grown, _ = smote(data)
    assert grown.split[-2:].tolist() == ["train", "train"]
    assert grown.groups[-2:].tolist() == ["synthetic", "synthetic"]
    assert grown.records[-2:].to_dict("list") == {"name": ["synthetic"] * 2, "sample": [-1, -1]}
    numbered, _ = smote(random_beats("NNNNVV", groups=np.array([100, *[208] * 6, 233])))
    assert numbered.groups[-3:].tolist() == [233, 234, 234]


def test_a_seed_gives_the_same_beats_and_another_seed_others():
    data = random_beats("NNNNNNSSVV")
    first, again, other = (synthetic(data, seed=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)


def test_signals_that_lie_on_disk_and_no_features_will_do():
    digital = np.array([[7, 7], *[[0, 0]] * 3, [1000, 0], [2000, 0], [7, 7]], "int16")[..., None]
    stored = records.Signals(digital, gains=np.full((7, 1), 1000), baselines=np.zeros((7, 1)))
    signals, features, _ = synthetic(beats("NNNVV", np.zeros((5, 2)), signals=stored))
    assert features.shape == (1, 0)
    assert 1 < signals[0, 0] < 2 and signals[0, 1] == 0  # millivolt


def test_a_task_of_several_classes_a_record_is_refused():
    with pytest.raises(ValueError, match="exactly one class a record, but this task is multilabel"):
        smote(random_beats("NNVV", multilabel=True))


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=f"a share between 0 and 1 of the largest, not to {share:g}"):
        smote(random_beats("NNVV"), share=share)
