"""What a model is given: prepared signals and features, or the text of beats, in a Dataset and out of one."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_runs import TINY

import card as cards
import evaluate
import plots
import training
from inputs import Inputs, Recorded

TEXT = replace(
    TINY,
    model="token_lstm",
    filters=(),
    kernels=(),
    crop=0.0,
    loss="crossentropy",
    clusters=4,
    pieces=20,
    letters=3,
    neighbours=1,
    embedding_units=4,
    class_weight_power=0.0,
)


@pytest.fixture(scope="module")
def beats_of_two_recordings(demo_of_one_class):
    """The sixty records as if they were beats, by turns of two recordings of one patient each, last ones first."""
    names = np.where(np.arange(60) % 2, "a", "b")
    records = demo_of_one_class.records.assign(name=names, sample=np.arange(60)[::-1])
    return replace(demo_of_one_class, records=records)


def test_tokens_are_those_that_a_recording_alone_gives(beats_of_two_recordings):
    data = beats_of_two_recordings
    card = cards.describe(TEXT, data, data.rows("train"))
    (rows,) = np.nonzero(data.records["name"] == "a")
    rows = rows[::-1]  # in the order of time
    alone = Recorded(data.signals[rows], data.leads, data.sampling_rate, data.features[rows], data.feature_names)
    tokens, features = Inputs(data, card)[rows]
    np.testing.assert_array_equal(Inputs(alone, card)[np.arange(len(rows))][0], tokens)
    assert tokens.shape == (30, Inputs(data, card).length) and features.shape == (30, 0)
    assert np.all(tokens[1:, -3] == tokens[:-1, -2])  # the cluster before is that of the beat before


def test_words_are_learned_from_training_beats_alone(beats_of_two_recordings):
    data = beats_of_two_recordings
    signals = data.signals.copy()
    signals[data.split != "train"] *= -3
    card, other = (cards.describe(TEXT, each, data.rows("train")) for each in (data, replace(data, signals=signals)))
    assert card.tokens == other.tokens


def test_a_causal_model_reads_no_beat_that_comes_later(beats_of_two_recordings):
    data = replace(beats_of_two_recordings, cutting={"causal": True})
    assert cards.describe(TEXT, data, data.rows("train")).tokens["neighbours"] == (1, 0)


@pytest.fixture(scope="module")
def model_of_text(beats_of_two_recordings, tmp_path_factory):
    return training.train(replace(TEXT, epochs=1), beats_of_two_recordings, tmp_path_factory.mktemp("text"))


def test_a_regression_on_the_same_words_and_a_page_of_the_most_telling_ones_stand_beside_a_model_of_text(
    model_of_text, beats_of_two_recordings
):
    told = evaluate.predict([model_of_text], lambda card: beats_of_two_recordings)
    assert told["models"].tolist() == [str(model_of_text), evaluate.REGRESSION, "naive (class frequencies)"]
    np.testing.assert_allclose(told["probabilities"].sum(axis=-1), 1, atol=1e-5)
    assert len(told["telling_words"]) == len(told["telling_classes"]) == 5 * 10
    figure = plots.words(*(told[f"telling_{key}"] for key in ("classes", "words", "weights", "shapes")))
    assert len(figure.axes) == 50


def test_a_model_whose_card_has_the_vocabulary_of_another_is_refused(model_of_text, beats_of_two_recordings, tmp_path):
    model, card = cards.load(model_of_text)
    other = cards.describe(replace(TEXT, clusters=5), beats_of_two_recordings, beats_of_two_recordings.rows("train"))
    path = cards.save(tmp_path / "model", model, replace(card, tokens=other.tokens))
    with pytest.raises(ValueError, match="its card is of another model"):
        cards.load(path)


@pytest.mark.parametrize("change", [{"crop": 1.0}, {"augmentation": ("noise",)}, {"smote": 0.5}])
def test_text_is_read_whole_and_as_it_is(change):
    with pytest.raises(ValueError, match="leave out augmentation, crop and smote"):
        training.check(replace(TEXT, **change))


def test_a_network_with_weights_for_each_step_is_not_trained_on_crops():
    with pytest.raises(ValueError, match="segment_attention has weights for each step.* --crop 0"):
        training.check(replace(TINY, model="segment_attention", crop=1.0))
