"""Scores worked out by hand, and thresholds that do what they are chosen for."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

import metrics

# Positive against negative: 0.35 > 0.1, 0.35 < 0.4, 0.8 > 0.1, 0.8 > 0.4: three of four pairs in order.
LABELS = np.array([[0], [0], [1], [1]])
PROBABILITIES = np.array([[0.1], [0.4], [0.35], [0.8]])


def beside(first, second):
    """The columns of two classes."""
    return np.column_stack([first, second])


def test_auc_is_the_share_of_pairs_in_order():
    assert metrics.macro_auc(LABELS, PROBABILITIES) == 0.75


def test_a_tie_is_half_in_order():
    assert metrics.macro_auc(np.array([[0], [1]]), np.array([[0.3], [0.3]])) == 0.5


def test_macro_auc_is_the_mean_over_classes_however_many_records_each_has():
    rare = [1, 0, 0, 0]
    in_order = [0.09, 0.01, 0.02, 0.03]  # 1, although all are low
    assert metrics.macro_auc(beside(LABELS, rare), beside(PROBABILITIES, in_order)) == (0.75 + 1) / 2


@pytest.mark.parametrize("everywhere", [0, 1])
def test_a_class_that_all_or_no_records_have_is_left_out_of_the_macro_auc(everywhere):
    labels = beside(LABELS, [everywhere] * 4)
    assert metrics.present(labels).tolist() == [True, False]
    assert metrics.macro_auc(labels, beside(PROBABILITIES, [0.1, 0.2, 0.3, 0.4])) == 0.75


def test_without_any_class_to_judge_there_is_no_auc():
    with pytest.raises(ValueError, match="no class has both positive and negative records among 4"):
        metrics.macro_auc(beside([0] * 4, [1] * 4), beside(PROBABILITIES, PROBABILITIES))


def test_the_threshold_with_the_highest_f1_lies_halfway_below_the_last_one_decided():
    # Precision, recall, F1 from 0.1 on: 1/2, 1, 2/3; from 0.35: 2/3, 1, 4/5; from 0.4: 1/2 each; from 0.8: 1, 1/2, 2/3.
    assert metrics.choose_thresholds(LABELS, PROBABILITIES) == [pytest.approx((0.35 + 0.1) / 2)]


def test_the_threshold_under_the_lowest_probability_is_half_of_it():
    assert metrics.choose_thresholds(np.array([[0], [1]]), np.array([[0.9], [0.2]])) == [pytest.approx(0.1)]


def test_a_class_that_all_or_no_records_have_gets_one_half():
    labels = np.column_stack([LABELS, [0] * 4, [1] * 4])
    probabilities = np.repeat(PROBABILITIES, 3, axis=1)
    assert metrics.choose_thresholds(labels, probabilities) == [pytest.approx(0.225), 0.5, 0.5]


def test_a_threshold_between_two_neighbouring_float32_probabilities_still_parts_them():
    low = np.float32(0.5)
    probabilities = np.array([[low], [np.nextafter(low, np.float32(1))]])
    (threshold,) = metrics.choose_thresholds(np.array([[0], [1]]), probabilities)
    assert (probabilities >= np.asarray([threshold])).ravel().tolist() == [False, True]


def test_a_chosen_threshold_has_no_lower_f1_than_one_half(hypothesis):
    strategies = hypothesis.strategies
    records = strategies.tuples(strategies.integers(0, 1), strategies.floats(0, 1, width=32))

    @hypothesis.given(strategies.lists(records, min_size=2, max_size=30))
    def holds(drawn):
        labels, probabilities = np.array(drawn, "float32").T[:, :, None]
        chosen, half = (
            f1_score(labels, probabilities >= np.asarray(thresholds), zero_division=0)
            for thresholds in (metrics.choose_thresholds(labels, probabilities), [0.5])
        )
        assert chosen >= half

    holds()


def test_all_scores_of_four_records_worked_out_by_hand():
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    probabilities = np.array([[0.9, 0.6], [0.4, 0.7], [0.6, 0.8], [0.1, 0.3]])
    # Of the first class one is found, one missed and one false; of the second two are found and one is false.
    assert metrics.scores(labels, probabilities, (0.5, 0.5)) == pytest.approx(
        {
            "macro_auc": (3 / 4 + 1) / 2,  # 0.4 lies under 0.6
            "macro_precision": (1 / 2 + 2 / 3) / 2,
            "macro_recall": (1 / 2 + 1) / 2,
            "macro_f1": (1 / 2 + 4 / 5) / 2,
            "subset_accuracy": 1 / 4,  # the last record
            "hamming_loss": 3 / 8,
        }
    )


def test_each_class_has_its_own_threshold_and_reaching_it_is_enough():
    labels = np.array([[1, 0], [0, 1]])
    probabilities = np.array([[0.25, 0.5], [0.125, 0.75]])
    assert metrics.scores(labels, probabilities, [0.25, 0.75])["subset_accuracy"] == 1
    assert (
        metrics.scores(labels, probabilities, [0.75, 0.25])["subset_accuracy"] == 0.5
    )  # only the second class, in both


def test_a_class_never_decided_counts_as_zero_without_a_warning(recwarn):
    labels = np.array([[1, 1], [0, 0]])
    scores = metrics.scores(labels, np.array([[0.9, 0.4], [0.1, 0.3]]), (0.5, 0.5))
    assert (scores["macro_precision"], scores["macro_recall"], scores["macro_f1"]) == (0.5, 0.5, 0.5)
    assert not recwarn.list


FIVE_LABELS = np.array([[0], [0], [1], [0], [1]])
FIVE_PROBABILITIES = np.array([[0.1], [0.2], [0.3], [0.6], [0.8]])


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        ("f1", 0.25),  # from 0.3: both found, one of three wrong: F1 0.8
        ("hamming", 0.7),  # from 0.8 (or 0.3): one wrong decision; the higher of the two
        ("recall=1", 0.25),
        ("recall=0.5", 0.7),
        ("0.5", 0.5),
    ],
)
def test_each_goal_has_its_threshold_halfway_to_the_next_lower_probability(goal, expected):
    assert metrics.choose_thresholds(FIVE_LABELS, FIVE_PROBABILITIES, goal) == [pytest.approx(expected)]


@pytest.mark.parametrize("goal", ["luck", "recall", "recall=1.5", "recall=nan", "f1=3", "subset=5", "nan", "-1"])
def test_an_unknown_goal_or_one_out_of_range_is_refused(goal):
    with pytest.raises(
        ValueError, match=f"no goal '{goal}' for thresholds; there are: f1, hamming, subset, recall=0.9, or a"
    ):
        metrics.choose_thresholds(FIVE_LABELS, FIVE_PROBABILITIES, goal)


def test_the_subset_goal_is_never_worse_than_the_hamming_goal_at_subset_accuracy(hypothesis):
    @hypothesis.given(hypothesis.strategies.integers(0, 10_000))
    def never_worse(seed):
        rng = np.random.default_rng(seed)
        labels, probabilities = rng.integers(0, 2, (40, 3)), rng.random((40, 3))
        accuracy = {
            goal: metrics.scores(labels, probabilities, metrics.choose_thresholds(labels, probabilities, goal))
            for goal in ("subset", "hamming")
        }
        assert accuracy["subset"]["subset_accuracy"] >= accuracy["hamming"]["subset_accuracy"]
        assert accuracy["hamming"]["hamming_loss"] <= accuracy["subset"]["hamming_loss"]

    never_worse()


def test_when_none_should_be_positive_the_hamming_threshold_is_above_all():
    labels = np.array([[1], [0], [0], [0]])
    probabilities = np.array([[0.1], [0.7], [0.8], [0.9]])
    assert metrics.choose_thresholds(labels, probabilities, "hamming")[0] > 0.9


def test_calibration_error_is_the_mean_gap_between_probability_and_share():
    # Two records at 0.95, one of them positive: the gap is 0.45. Two at 0.05, none positive: 0.05.
    labels, probabilities = np.array([[1], [0], [0], [0]]), np.array([[0.95], [0.95], [0.05], [0.05]])
    assert metrics.calibration_error(labels, probabilities) == pytest.approx((0.45 + 0.05) / 2)


def test_a_temperature_of_two_halves_the_logits():
    assert metrics.calibrate(np.array([[0.9]]), [2.0])[0, 0] == pytest.approx(0.75)  # odds 9 become odds 3


def test_the_fitted_temperature_finds_what_the_logits_were_multiplied_by():
    rng = np.random.default_rng(0)
    honest = rng.random((20_000, 1))
    labels = (rng.random((20_000, 1)) < honest).astype(int)
    overconfident = metrics.calibrate(honest, [1 / 3])
    assert metrics.fit_temperatures(labels, overconfident) == [pytest.approx(3, rel=0.05)]
    assert metrics.calibration_error(labels, honest) < metrics.calibration_error(labels, overconfident) / 5


def test_a_patient_is_drawn_with_all_records_or_none():
    groups = np.array([7, 8, 7, 9, 8, 8])  # 7 has records 0 and 2, 8 has 1 4 5, 9 has 3
    for counts in metrics.patient_draws(groups, samples=50):
        assert counts[0] == counts[2] and counts[1] == counts[4] == counts[5]
        assert counts[0] + counts[1] + counts[3] == 3  # three draws of three patients


def test_draws_are_the_same_for_the_same_seed_and_others_for_another():
    one, again, other = (metrics.patient_draws(np.arange(20), samples=3, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_scores_of_a_sample_are_those_of_its_records_repeated(hypothesis):
    @hypothesis.given(hypothesis.strategies.integers(0, 10_000))
    def same(seed):
        rng = np.random.default_rng(seed)
        labels, probabilities = rng.integers(0, 2, (30, 3)), rng.integers(0, 8, (30, 3)) / 8  # with many ties
        draws = metrics.patient_draws(rng.integers(0, 12, 30), samples=4, seed=seed)
        sampled = metrics.sampled_scores(labels, probabilities, [0.25, 0.5, 0.7], draws)
        for i, counts in enumerate(draws):
            rows = np.repeat(np.arange(30), counts)
            expected = metrics.scores(labels[rows], probabilities[rows], [0.25, 0.5, 0.7])
            assert {name: values[i] for name, values in sampled.items()} == pytest.approx(expected)

    same()


def test_a_sample_without_a_class_leaves_it_out_of_its_macro_auc():
    labels, probabilities = np.array([[1, 1], [0, 0], [1, 0]]), np.array([[0.9, 0.1], [0.5, 0.2], [0.1, 0.3]])
    draws = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 2]])
    # First sample: (1/2 + 0) / 2; in the second only the first class has both kinds; in the third none has.
    np.testing.assert_array_equal(
        metrics.sampled_scores(labels, probabilities, [0.5, 0.5], draws)["macro_auc"], [0.25, 0, np.nan]
    )


# One class a record: decided are A, B, B, A, so one A and one B are right, one A is taken for a B and one B for an A;
# C has no record.
ONE_OF_THREE = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])
TOLD = np.array([[0.8, 0.1, 0.1], [0.3, 0.5, 0.2], [0.1, 0.7, 0.2], [0.6, 0.4, 0.0]])


def test_without_thresholds_the_most_probable_class_is_decided():
    assert metrics.decide(TOLD, ()).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_scores_of_one_class_a_record_are_over_the_classes_that_have_records():
    assert metrics.scores(ONE_OF_THREE, TOLD, ()) == pytest.approx(
        {
            "macro_auc": (3 / 4 + 3 / 4) / 2,  # A: 0.3 lies under 0.6; B: 0.4 lies under 0.5
            "macro_precision": 1 / 2,
            "macro_recall": 1 / 2,
            "macro_f1": 1 / 2,
            "accuracy": 2 / 4,
            "weighted_f1": 1 / 2,
        }
    )


def test_a_class_weighs_in_the_weighted_f1_as_many_records_as_it_has():
    labels = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    always_first = np.array([[0.9, 0.1]] * 4)  # F1 of the first class is 2 * 3 / (4 + 3), of the second 0
    assert metrics.scores(labels, always_first, ())["weighted_f1"] == pytest.approx(3 / 4 * 6 / 7)


def test_the_error_rate_of_a_class_is_the_share_of_its_own_records_and_unknown_without_any():
    rates = [scores["error_rate"] for scores in metrics.class_scores(ONE_OF_THREE, TOLD, ())]
    assert rates == [0.5, 0.5, None]


def test_scores_of_a_sample_of_records_with_one_class_are_those_of_its_records_repeated(hypothesis):
    @hypothesis.given(hypothesis.strategies.integers(0, 10_000))
    def same(seed):
        rng = np.random.default_rng(seed)
        labels, probabilities = np.eye(3, dtype=int)[rng.integers(0, 3, 30)], rng.dirichlet([1, 1, 1], 30)
        draws = metrics.patient_draws(rng.integers(0, 12, 30), samples=4, seed=seed)
        sampled = metrics.sampled_scores(labels, probabilities, (), draws)
        for i, counts in enumerate(draws):
            rows = np.repeat(np.arange(30), counts)
            expected = metrics.scores(labels[rows], probabilities[rows], ())
            assert {name: values[i] for name, values in sampled.items()} == pytest.approx(expected)

    same()


def test_one_temperature_sharpens_or_flattens_all_classes_of_a_record_and_keeps_their_sum():
    # Odds 4 : 1 become 2 : 1 at temperature 2.
    np.testing.assert_allclose(metrics.calibrate(np.array([[0.8, 0.2]]), [2.0], False), [[2 / 3, 1 / 3]])


def test_the_one_temperature_is_found_again():
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([1, 1, 1], 20_000)
    labels = np.eye(3)[[rng.choice(3, p=row) for row in honest]]
    assert metrics.fit_temperatures(labels, metrics.calibrate(honest, [0.5], False), False) == [
        pytest.approx(2, rel=0.05)
    ]


def test_there_is_no_interval_of_nothing():
    assert metrics.interval(np.full(3, np.nan)) is None


def test_the_macro_auc_of_many_samples_is_that_of_each():
    rng = np.random.default_rng(0)
    truth, probabilities = rng.random((40, 2)) < 0.5, rng.random((40, 2))
    draws = metrics.patient_draws(np.arange(40), samples=7)
    whole = metrics.sampled_macro_auc(truth, probabilities, draws)
    np.testing.assert_array_equal(metrics.sampled_macro_auc(truth, probabilities, draws, chunk=3), whole)


def test_the_interval_leaves_out_a_fortieth_at_each_end():
    assert metrics.interval(np.arange(1001) / 1000) == [pytest.approx(0.025), pytest.approx(0.975)]
