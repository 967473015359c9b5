"""Beats as text: letters, words, TF-IDF, clusters and tokens."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import tokens

# Three letters: below 0 is a, from 0 to 1 is b, from 1 on is c; the feature's levels are 10 and 20.
PLAIN = tokens.Vocabulary(
    pieces=3, letters=3, word=2, neighbours=(1, 1), breakpoints=np.array([[0.0, 1.0], [10.0, 20.0]])
)
NO_FEATURES = np.zeros((1, 0), "float32")


def beat(*levels):
    """A beat of one lead, two samples at each level: `(1, samples, 1)`."""
    return np.repeat(np.array(levels, "float32"), 2)[None, :, None]


def names(written, vocabulary, leads=("II",), features=("RR",)):
    return [tokens.name(number, vocabulary, leads, features) for number in written]


def random_beats(count=200, seed=0):
    """Beats of two kinds, low then high and high then low, with noise, and a feature."""
    rng = np.random.default_rng(seed)
    shape = np.where(np.arange(12) < 6, -1, 1) * np.where(rng.random(count) < 0.5, -1, 1)[:, None]
    signals = (shape + 0.3 * rng.standard_normal((count, 12)))[:, :, None].astype("float32")
    return signals, rng.random((count, 1)).astype("float32")


SETTINGS = tokens.Vocabulary(pieces=6, letters=4, word=2, neighbours=(2, 2))


@pytest.fixture(scope="module")
def fitted():
    return tokens.fit(*random_beats(), SETTINGS, clusters=3)


def card_of(vocabulary, leads=("II",)):
    state = json.loads(json.dumps(vocabulary.for_card()))  # as it comes back from the file
    return SimpleNamespace(tokens=state, leads=leads, feature_names=("RR",))


def test_a_beat_is_written_in_overlapping_words_and_a_word_of_one_letter_for_each_feature():
    (written,) = tokens.write(beat(-1, 0.5, 2), np.array([[15.0]]), PLAIN)
    assert names(written, PLAIN) == ["II ab", "II bc", "RR 10 to 20"]
    assert written.tolist() == [0 * 3 + 1, 1 * 3 + 2, 3**2 + 1]


def test_a_level_on_a_breakpoint_has_the_letter_above_it():
    (written,) = tokens.write(beat(0, 1, 1), np.array([[10.0]]), PLAIN)
    assert names(written, PLAIN) == ["II bc", "II cc", "RR 10 to 20"]


def test_each_lead_has_words_of_its_own():
    both = np.concatenate([beat(-1, -1, -1), beat(2, 2, 2)], axis=-1)
    vocabulary = PLAIN._replace(breakpoints=np.array([[0.0, 1.0], [0.0, 1.0]]))
    (written,) = tokens.write(both, NO_FEATURES, vocabulary)
    assert names(written, vocabulary, ("II", "V1"), ()) == ["II aa", "II aa", "V1 cc", "V1 cc"]


def test_letters_are_means_of_pieces_even_where_their_lengths_differ():
    signals = np.arange(7.0)[None, :, None]  # pieces of 2, 2 and 3 samples
    np.testing.assert_allclose(tokens.means(signals, 3)[0, :, 0], [0.5, 2.5, 5])


def test_after_its_end_a_beat_has_no_words_but_zeros_within_it_are_a_level_like_others():
    vocabulary = PLAIN._replace(pieces=5)
    (written,) = tokens.write(beat(1, 0, 1, 0, 0), np.array([[0.0]]), vocabulary)
    assert names(written[:2], vocabulary) == ["II cb", "II bc"]
    assert written[2:4].tolist() == [tokens.NOTHING, tokens.NOTHING]


def test_breakpoints_are_quantiles_of_the_training_beats(fitted):
    signals, features = random_beats()
    shares = np.quantile(tokens.means(signals, 6), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(fitted.breakpoints[0], shares, atol=1e-4)
    np.testing.assert_allclose(fitted.breakpoints[1], np.quantile(features, [0.25, 0.5, 0.75]), atol=1e-4)


def test_tfidf_weighs_a_word_by_how_often_it_comes_and_how_rare_it_is():
    vocabulary = PLAIN._replace(words=np.array([0, 8]), idf=np.array([1.0, 2.0]))
    written = np.array([[0, 0, 8], [8, 5, 5]])  # 5 is in no vocabulary
    expected = np.array([[2, 2], [0, 2]]) / np.array([[np.sqrt(8)], [2]])
    np.testing.assert_allclose(tokens.tfidf(written, vocabulary).toarray(), expected)


def test_rare_words_are_unknown(fitted):
    written = tokens.write(*random_beats(), fitted)
    numbers, often = np.unique(written, return_counts=True)
    np.testing.assert_array_equal(fitted.words, numbers[often >= tokens.RARE])


def test_beats_of_two_kinds_are_in_different_clusters():
    signals, features = random_beats()
    vocabulary = tokens.fit(signals, np.zeros((200, 0)), SETTINGS._replace(letters=2), clusters=2)
    read = tokens.sequences(
        tokens.write(signals, np.zeros((200, 0)), vocabulary), vocabulary, np.zeros(200), np.arange(200)
    )
    own, rising = read[:, -3], signals[:, -1, 0] > signals[:, 0, 0]
    agreement = np.mean((own == own[np.argmax(rising)]) == rising)
    assert agreement > 0.95


def test_a_beat_is_read_with_the_clusters_around_it_and_nothing_from_another_recording():
    around = tokens.around(np.array([5, 6, 7, 8]), np.array([0, 0, 0, 1]), np.array([10, 20, 30, 5]), 1, 1)
    assert around.tolist() == [[0, 5, 6], [5, 6, 7], [6, 7, 0], [0, 8, 0]]


def test_the_order_of_rows_does_not_matter():
    order = [2, 0, 3, 1]
    clusters, recordings, places = np.array([5, 6, 7, 8]), np.array([0, 0, 0, 1]), np.array([10, 20, 30, 5])
    plain = tokens.around(clusters, recordings, places, 2, 1)
    np.testing.assert_array_equal(tokens.around(clusters[order], recordings[order], places[order], 2, 1), plain[order])


def test_unknown_words_and_missing_ones_have_tokens_of_their_own(fitted):
    written = np.full((1, 6), 10**6)
    written[0, 1], written[0, 2] = tokens.NOTHING, fitted.words[0]
    (read,) = tokens.sequences(written, fitted, np.zeros(1), np.zeros(1))
    assert read[:3].tolist() == [tokens.UNKNOWN, tokens.PAD, tokens.FIRST + 3]  # after three clusters
    assert read[6:].tolist()[:2] == [tokens.PAD] * 2 and len(read) == 6 + 5


def test_tokens_stay_the_same_when_the_vocabulary_comes_back_from_a_card(fitted):
    signals, features = random_beats(seed=1)
    opened = tokens.Vocabulary.of(card_of(fitted))
    places = np.zeros(200), np.arange(200)
    before, after = (tokens.sequences(tokens.write(signals, features, v), v, *places) for v in (fitted, opened))
    np.testing.assert_array_equal(before, after)
    assert before.shape[1] == fitted.length(1, 1) and before.max() < fitted.size == opened.size
    assert opened.for_card() == fitted.for_card()


def test_the_same_beats_give_the_same_vocabulary(fitted):
    assert tokens.fit(*random_beats(), SETTINGS, clusters=3).for_card() == fitted.for_card()


def test_an_unfitted_vocabulary_is_refused():
    card = SimpleNamespace(tokens={"pieces": 6}, leads=("II",), feature_names=("RR",))
    with pytest.raises(ValueError, match="not fitted.* lacks letters, word, neighbours, breakpoints"):
        tokens.Vocabulary.of(card)


def test_a_vocabulary_of_another_model_is_refused(fitted):
    with pytest.raises(ValueError, match=r"breakpoints of shape \(2, 3\), but \(3, 3\) fits"):
        tokens.Vocabulary.of(card_of(fitted, leads=("II", "V1")))
    card = card_of(fitted)
    card.tokens["idf"] = card.tokens["idf"][1:]
    with pytest.raises(ValueError, match="the vocabulary of the card has idf of shape"):
        tokens.Vocabulary.of(card)


@pytest.mark.parametrize(
    "changes, clusters, message",
    [
        ({}, 300, "300 clusters need as many training beats, but 200 came"),
        ({"letters": 1}, 3, "2 to 26 letters, not 1"),
        ({"word": 7}, 3, "words of 7 of 6 letters do not fit beats of 12 samples"),
        ({"pieces": 13}, 3, "words of 2 of 13 letters do not fit beats of 12 samples"),
        ({"letters": 26, "word": 5}, 3, "more than a million"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, clusters, message):
    with pytest.raises(ValueError, match=message):
        tokens.fit(*random_beats(), SETTINGS._replace(**changes), clusters)


def test_beats_that_are_all_alike_have_too_few_words():
    with pytest.raises(ValueError, match="1 words come 5 times: the training beats are too few, or all alike"):
        tokens.fit(np.ones((50, 12, 1)), np.zeros((50, 0)), SETTINGS, clusters=3)


def test_words_of_the_lowest_and_the_highest_value_of_a_feature_say_so():
    assert names([9, 11], PLAIN) == ["RR below 10", "RR 20 and more"]


def test_a_regression_on_the_words_tells_two_kinds_apart_and_which_words_speak_for_each():
    signals, features = random_beats()
    labels = np.eye(3)[(signals[:, -1, 0] > signals[:, 0, 0]).astype(int)]  # a third class has no beats
    vocabulary = tokens.fit(signals, features, SETTINGS._replace(letters=2), clusters=2)
    written = tokens.write(signals, features, vocabulary)
    probabilities, weights = tokens.regression(written, labels, vocabulary)
    told = probabilities(written)
    assert np.mean(told.argmax(axis=1) == labels.argmax(axis=1)) > 0.95
    assert told[:, 2].max() == 0 and weights.shape == (3, len(vocabulary.words))
    telling = [tokens.name(vocabulary.words[weights[i].argmax()], vocabulary, ("II",), ("RR",)) for i in (0, 1)]
    assert telling == ["II ba", "II ab"]  # falling, then rising


def test_the_shape_of_a_word_is_the_mean_stretch_that_is_written_so():
    signals = np.concatenate([beat(-1, 0.5, 2), beat(-3, 0.5, 4), beat(2, 2, 2)])
    written = tokens.write(signals, np.zeros((3, 1)), PLAIN)
    np.testing.assert_allclose(tokens.shape_of(1, signals, written, PLAIN), [-2, -2, 0.5, 0.5])  # of "ab"
    np.testing.assert_allclose(tokens.shape_of(5, signals, written, PLAIN), [0.5, 0.5, 3, 3])  # of "bc"
    assert tokens.shape_of(9, signals, written, PLAIN) is None  # of the feature


def test_every_level_has_the_letter_of_its_place_among_the_breakpoints(hypothesis):
    @hypothesis.given(
        hypothesis.strategies.lists(hypothesis.strategies.floats(-5, 5, width=32), min_size=3, max_size=3)
    )
    def holds(levels):
        hypothesis.assume(levels[-1] != 0)  # or the beat ends before
        (written,) = tokens.write(beat(*levels), np.zeros((1, 1)), PLAIN)
        text = names(written, PLAIN)
        letters = text[0].split()[1] + text[1].split()[1][1]
        assert letters == "".join("abc"[(level >= 0) + (level >= 1)] for level in levels)

    holds()


def test_what_a_word_counts_is_shared_out_among_its_samples():
    vocabulary = tokens.Vocabulary(pieces=4, letters=2, word=2, neighbours=(0, 0))
    values = np.array([[4.0, 0, 8, 0, 0, -2, 99]])  # three words of each of two leads, and one of a feature
    told = tokens.on_samples(values, vocabulary, samples=8, leads=2)
    np.testing.assert_allclose(told[0].T, [[1, 1, 1, 1, 2, 2, 2, 2], [0, 0, 0, 0, -0.5, -0.5, -0.5, -0.5]])
