"""Rare classes count more, and a class without records is refused."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

import balance

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
