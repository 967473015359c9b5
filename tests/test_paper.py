"""ECGs on paper: everything can be measured with a ruler, nothing runs into its neighbours."""

import matplotlib
import numpy as np
import pytest

import data_demo
import paper

LEADS = data_demo.LEADS


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def traces(figure):
    """Lines that are signals: calibration marks have six points."""
    return [line.get_xydata() for line in figure.axes[0].lines if len(line.get_xdata()) != 6]


def test_a_second_is_25_millimetres_and_a_millivolt_10_on_paper_of_true_size():
    signals = np.zeros((500, 1))
    signals[100] = 1.0
    figure = paper.record(signals, ("V2",), 100)
    (trace,) = traces(figure)
    assert trace[100, 0] - trace[0, 0] == pytest.approx(25)
    assert trace[100, 1] - trace[99, 1] == pytest.approx(10)
    axes = figure.axes[0]
    assert tuple(figure.get_size_inches() * 25.4) == pytest.approx((axes.get_xlim()[1], axes.get_ylim()[1]))
    assert axes.get_position().bounds == (0, 0, 1, 1)
    small, large = (np.unique([path.vertices[0, 0] for path in lines.get_paths()]) for lines in axes.collections[0:4:2])
    assert np.all(np.diff(small) == 1) and np.all(np.diff(large) == 5)


def test_each_row_has_a_calibration_mark_of_a_millivolt_and_a_fifth_of_a_second():
    figure = paper.record(np.zeros((500, 2)), ("I", "V2"), 100)
    marks = [line.get_xydata() for line in figure.axes[0].lines if len(line.get_xdata()) == 6]
    assert len(marks) == 2
    for mark, trace in zip(marks, traces(figure), strict=True):
        assert np.ptp(mark[:, 1]) == 10 and mark[3, 0] - mark[2, 0] == 5
        assert mark[0, 1] == trace[0, 1]  # it stands on the level of its row


def test_twelve_leads_in_any_order_are_laid_out_3_by_4_with_a_rhythm_strip_of_lead_ii():
    leads = ("V6", *LEADS[:-1])
    placed = [(leads[lead], row, start, stop) for lead, row, start, stop in paper.layout(leads, 1000, 100)]
    assert len(placed) == 13
    assert placed[:4] == [("I", 0, 0, 250), ("AVR", 0, 250, 500), ("V1", 0, 500, 750), ("V4", 0, 750, 1000)]
    assert placed[-2:] == [("V6", 2, 750, 1000), ("II", 3, 0, 1000)]


def test_other_leads_and_short_records_are_strips_one_under_the_other():
    assert paper.layout(("MLII", "V1"), 1000, 100) == [(0, 0, 0, 1000), (1, 1, 0, 1000)]
    assert len(paper.layout(LEADS, 399, 100)) == 12


def test_names_are_printed_as_on_ecgs_and_over_every_trace(demo):
    figure = paper.record(demo.signals[0], LEADS, 100, "one")
    names = ["I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6", "II"]
    assert texts(figure) == [*names, "one", "25 mm/s  10 mm/mV"]
    for trace, text in zip(traces(figure), figure.axes[0].texts, strict=False):
        assert text.get_position()[1] - paper.LETTERS >= trace[:, 1].max() - 1


def test_tall_complexes_get_the_room_that_they_need():
    signals = np.zeros((500, 2))
    signals[100, 1] = 3.2  # 32 mm and 4 of its name: 40 mm, in whole squares
    figure = paper.record(signals, ("I", "II"), 100)
    levels = [np.median(trace[:, 1]) for trace in traces(figure)]
    assert levels[0] - levels[1] == 5 + 40  # one square below lead I


def test_relevance_is_the_darker_the_higher_and_the_other_colour_where_it_is_negative():
    colours = paper.shades(np.array([[2.0], [1.0], [0.0], [-1.0]]), (4, 1))[:, 0]
    np.testing.assert_allclose(colours[:, 3], [0.7, 0.35, 0, 0.35], rtol=0.02)
    for row, colour in zip((0, 3), (paper.FOR, paper.AGAINST), strict=True):
        np.testing.assert_allclose(colours[row, :3], matplotlib.colors.to_rgb(colour))
    assert not paper.shades(None, (4, 1))[..., 3].any()


def test_colours_lie_behind_the_samples_that_they_belong_to(demo):
    relevance = np.zeros((1000, 12))
    relevance[600, 6] = 1  # in V1, which has the third quarter: 1 s after its start
    figure = paper.record(demo.signals[0], LEADS, 100, "", relevance, ("for",))
    image = figure.axes[0].images[2]
    colours, (left, right, _, _) = image.get_array(), image.get_extent()
    assert (left, right) == (15 + 5 * 25, 15 + 7.5 * 25)
    assert np.flatnonzero(colours[0, :, 3]).tolist() == [100]
    assert texts(figure)[-1] == "for"


def test_beats_stand_side_by_side_and_their_leads_under_each_other():
    beat = np.zeros((80, 2)), None, "V 0.98"
    figure = paper.gallery([beat] * 6, ("MLII", "V1"), 100, enlarged=2)  # 20 mm and a gap: five on 125 mm
    starts = np.array([trace[0] for trace in traces(figure)])
    assert len(np.unique(starts[:, 0])) == 5 and len(np.unique(starts[:, 1])) == 4
    assert texts(figure)[:2] == ["V 0.98\nMLII", "V1"]


def test_beats_of_a_rhythm_have_their_letter_and_from_the_second_class_on_a_colour():
    signal, peaks, decided = np.zeros(600), np.array([100, 200, 450]), np.array([0, 1, 1])
    figure = paper.rhythm(signal, "II", 100, peaks, decided, ("N", "V"), begin=60.0, length=3.0)
    assert texts(figure)[:5] == ["II from 60 s", "N", "V", "II from 63 s", "V"]
    first, second = (np.flatnonzero(image.get_array()[0, :, 3]) for image in figure.axes[0].images)
    assert (first[0], first[-1], second[0], second[-1]) == (175, 244, 125, 194)
