"""MIT-BIH: a tiny one whose beats can be read off the page."""

import json
import types

import numpy as np
import pytest
import wfdb
from tiny_wfdb import write

import beats
import cutting
import data_mitbih
import dataset
import preprocessing
import wfdb_files

SYMBOLS = {  # of the beats at 0.5, 1.5, 2.5, ... seconds; the rest are N
    "100": "NNVN",  # DS2
    "101": "NNAN",  # DS1, trains
    "102": "////",  # paced
    "124": "RRFR",  # DS1, validates
    "201": "NNVN",  # DS1, and the same person as 202
    "202": "NANQ",  # DS2
}


@pytest.fixture(autouse=True)
def no_cache_elsewhere(monkeypatch):
    monkeypatch.delenv("ECG_CACHE", raising=False)


def write_record(folder, name, symbols="", samples=None, seconds=12, leads=("MLII", "V1")):
    """A record whose lead i is 3 i mV at first and rises by a microvolt with every sample."""
    microvolts = np.arange(seconds * 360)[:, None] + [0, 3000]
    write(folder, name, 100 + 2 * microvolts, leads, 360, gain=2000.0, baseline=100)
    samples = np.arange(180, seconds * 360, 360) if samples is None else samples
    annotate(folder, name, symbols.ljust(len(samples), "N"), samples)


def annotate(folder, name, symbols, samples):
    wfdb.wrann(name, "atr", np.asarray(samples), list(symbols), write_dir=str(folder))


@pytest.fixture
def tiny(tmp_path):
    """Six records of twelve seconds and twelve beats, of five patients."""
    for name, symbols in SYMBOLS.items():
        write_record(tmp_path, name, symbols, leads=("V5", "V2") if name == "102" else ("MLII", "V1"))
    return tmp_path


def of_record(data, name):
    return (data.records["name"] == name).to_numpy()


def test_every_beat_has_its_window_label_and_row(tiny):
    data = data_mitbih.load(tiny, "beats")
    assert (data.signals.shape, data.signals.dtype) == ((4 * 12, 288, 1), np.float32)
    assert data.records["sample"].tolist() == list(range(180, 12 * 360, 360)) * 4
    np.testing.assert_allclose(data.signals[:, 108, 0], data.records["sample"] / 1000)  # R-peak 0.3 s into the window
    np.testing.assert_allclose(data.signals[0, [0, 287], 0], [(180 - 108) / 1000, (180 + 179) / 1000])
    classes = np.array(data.classes)[data.labels.argmax(axis=1)]
    assert classes.tolist() == [beats.AAMI[symbol] for symbol in data.records["symbol"]]
    assert "".join(data.records["symbol"][of_record(data, "124")]) == "RRFRNNNNNNNN"
    assert not data.multilabel


@pytest.mark.parametrize("task", data_mitbih.TASKS)
def test_what_a_card_says_of_the_cut_is_enough_to_cut_a_recording_alike(tiny, task):
    options = {"sampling_rate": 125, "window": (0.2, 0.4), "band": (0.5, 40), "leads": ("other", "MLII/V5")}
    data = data_mitbih.load(tiny, task, causal=True, **options)
    card = types.SimpleNamespace(
        leads=list(data.leads), sampling_rate=125, cutting=json.loads(json.dumps(data.cutting))
    )
    record, again = wfdb_files.read_record(tiny, "101"), cutting.Cutting.of(card)
    rows = of_record(data, "101")
    if task == "segments":
        signals, samples = cutting.cut_segments(record, again)
        assert samples.tolist() == data.records["sample"][rows].tolist()
    else:
        signals, features = cutting.cut_beats(record, data.records["sample"][rows], again)
        np.testing.assert_array_equal(features, data.features[rows])
    np.testing.assert_array_equal(signals, data.signals[rows])


def test_annotations_that_are_no_beats_are_left_out_and_counted(tiny):
    annotate(tiny, "101", "+N!~A", [1, 180, 900, 901, 2000])
    data = data_mitbih.load(tiny, "beats")
    assert data.records["sample"][of_record(data, "101")].tolist() == [180, 2000]
    assert data.notes[1].startswith("33 N, 2 S, 1 V, 1 F, 1 Q; left out: 3 annotations that are no beats (")


def test_a_beat_at_the_very_edge_is_kept_and_its_window_filled_with_the_last_samples(tiny):
    annotate(tiny, "100", "NN", [0, 12 * 360 - 1])
    data = data_mitbih.load(tiny, "beats")
    first, last = data.signals[of_record(data, "100"), :, 0]
    np.testing.assert_allclose(first[[0, 108, 109]], [0, 0, 0.001])
    np.testing.assert_allclose(last[[107, 108, 287]], [4.318, 4.319, 4.319])


def test_features_are_those_of_the_recording_s_beats(tiny):
    data = data_mitbih.load(tiny, "beats")
    assert data.feature_names == beats.feature_names(("MLII/V5",))
    before = data.features[:, data.feature_names.index("RR before (s)")].reshape(4, 12)
    np.testing.assert_array_equal(before, [[np.nan] + [1] * 11] * 4)  # unknown in each record's first beat
    assert data_mitbih.load(tiny, "beats", causal=True).features.shape == (48, 26 + 25)


def test_deviations_of_a_record_are_those_of_its_own_windows(tiny):
    windows, deviations = (data_mitbih.load(tiny, "beats", deviation=each) for each in (False, True))
    first = windows.records["name"] == windows.records["name"].iloc[0]
    np.testing.assert_array_equal(deviations.signals[first], beats.deviations(windows.signals[first]))
    np.testing.assert_array_equal(deviations.features, windows.features)
    assert deviations.cutting == windows.cutting | {"deviation": True}


def test_a_record_of_one_beat_has_unknown_intervals(tiny):
    annotate(tiny, "101", "N", [2000])
    data = data_mitbih.load(tiny, "beats")
    (only,) = data.features[of_record(data, "101")]
    assert np.isnan(only[:10]).all()
    assert np.isfinite(only[data.feature_names.index("MLII/V5 RMS (mV)")])


def test_de_chazal_s_lists_give_splits_and_201_and_202_are_one_person(tiny):
    data = data_mitbih.load(tiny, "beats")
    split = dict(zip(data.records["name"], data.split, strict=True))
    assert split == {"100": "test", "101": "train", "124": "validation", "202": "test"}
    assert set(data.groups[of_record(data, "202")]) == {201}
    assert data.notes[0] == "2 records left out by the protocol: 102 201 (paced, or a patient of the test)"
    assert not data.leaks_patients
    assert data.source == "MIT-BIH in part (6 records)"


def test_a_random_split_has_all_records_and_shares_every_class_and_patient(tiny):
    data = data_mitbih.load(tiny, "beats", protocol="random")
    assert (set(data.records["name"]), data.leaks_patients) == (set(SYMBOLS), True)
    assert [len(data.rows(split)) for split in dataset.SPLITS] == [52, 7, 13]  # of 62 N, 5 Q, 2 S, 2 V and 1 F


def test_a_random_split_is_alike_in_every_class_and_trains_on_a_class_of_one():
    classes = np.repeat([0, 1, 2, 3], [1000, 100, 50, 1])
    split = data_mitbih.at_random(None, classes, np.arange(1151))
    for name, counts in {"train": [720, 72, 36, 1], "validation": [80, 8, 4, 0], "test": [200, 20, 10, 0]}.items():
        assert np.bincount(classes[split == name], minlength=4).tolist() == counts
    assert data_mitbih.at_random(None, classes, np.arange(1151)).tolist() == split.tolist()


def test_a_random_split_of_segments_keeps_patients_together_and_has_both_classes_everywhere(tmp_path):
    for number, name in enumerate(("201", "202", *data_mitbih.RECORDS[:18])):
        write_record(tmp_path, name, symbols=("N" if number % 2 else "V") * 25, seconds=25, leads=("V5", "V1"))
    data = data_mitbih.load(tmp_path, "segments", protocol="random")
    assert not data.leaks_patients
    assert len(set(data.split[data.groups == 201])) == 1
    for split in dataset.SPLITS:
        assert data.labels[data.rows(split)].any(axis=0).all()


def test_leads_are_found_by_name_wherever_they_stand(tiny):
    write_record(tiny, "101", leads=("V1", "MLII"))
    data = data_mitbih.load(tiny, "beats", protocol="random", leads=("MLII/V5", "other"))
    offset = data.signals[:, 108] - data.records["sample"].to_numpy()[:, None] / 1000
    first = {name: offset[of_record(data, name)][0].round(3).tolist() for name in ("100", "101", "102")}
    assert first == {"100": [0, 3], "101": [3, 0], "102": [0, 3]}
    assert data.leads == ("MLII/V5", "other")


def test_records_without_the_lead_are_named_unless_the_protocol_leaves_them_out_anyway(tiny):
    assert data_mitbih.load(tiny, "beats", leads=("MLII",)).leads == ("MLII",)
    with pytest.raises(ValueError, match="1 of 6 records .*\n  102: .* lead MLII, but .* has V5, V2\n.*MLII/V5"):
        data_mitbih.load(tiny, "beats", protocol="random", leads=("MLII",))


def test_recordings_are_resampled_before_beats_are_cut_and_intervals_are_those_of_the_file(tiny):
    data = data_mitbih.load(tiny, "beats", sampling_rate=125, window=(0.2, 1.296))
    assert (data.signals.shape, data.sampling_rate) == ((48, 187, 1), 125)  # 25 and 162 samples
    nearest = np.round(data.records["sample"] / 360 * 125) / 125 * 0.36  # mV of the sample at 125 Hz next to the peak
    np.testing.assert_allclose(data.signals[1:10, 25, 0], nearest[1:10], atol=1e-3)
    np.testing.assert_array_equal(data.features[:, :10], data_mitbih.load(tiny, "beats").features[:, :10])


def test_a_band_pass_runs_over_the_whole_recording_before_beats_are_cut(tiny):
    data = data_mitbih.load(tiny, "beats", band=(0.5, 40))
    whole = preprocessing.band_pass(np.arange(12 * 360.0)[:, None] / 1000, 360, 0.5, 40)
    np.testing.assert_allclose(data.signals[3], whole[180 + 3 * 360 - 108 :][:288], atol=1e-4)


@pytest.fixture
def beside(tmp_path):
    """A record of one segment in training and in validation."""
    for name in ("101", "124"):
        write_record(tmp_path, name, seconds=10)
    return tmp_path


def test_segments_are_abnormal_where_more_than_half_of_their_beats_are_not_n(beside):
    seconds = [1, 6, 7, 12, 13, 14, 16, 17]
    write_record(beside, "100", "NLNVNARN", np.multiply(seconds, 360), seconds=32)
    data = data_mitbih.load(beside, "segments")
    rows = data.records[of_record(data, "100")]
    assert rows["sample"].tolist() == [0, 1800, 3600, 5400]  # 20 to 30 s has no beat
    # 0-10 s: N L N; 5-15 s: L N V N A; 10-20 s: V N A R N; 15-25 s: R N, a tie
    assert rows["beats"].tolist() == [3, 5, 5, 2]
    assert rows["abnormal"].tolist() == [1, 3, 3, 1]
    assert data.labels[of_record(data, "100")].tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    assert data.notes == ("4 normal, 2 abnormal; left out: 1 without a beat",)
    np.testing.assert_allclose(data.signals[of_record(data, "100")][:, 0, 0], rows["sample"] / 1000)
    assert (data.signals.shape, data.features.shape) == ((6, 3600, 1), (6, 0))


@pytest.mark.parametrize("sampling_rate", [360, 180])
def test_a_beat_on_the_border_belongs_to_the_segment_that_begins_there(beside, sampling_rate):
    write_record(beside, "100", "NVV", [0, 1800, 3600], seconds=15)
    data = data_mitbih.load(beside, "segments", sampling_rate=sampling_rate)
    rows = data.records[of_record(data, "100")]
    assert (rows["sample"].tolist(), rows["beats"].tolist()) == ([0, 1800], [2, 2])
    assert rows["abnormal"].tolist() == [1, 2]  # the V at sample 3,600 is only in the second
    assert data.signals.shape[1] == 10 * sampling_rate


def changed(file, change):
    return lambda folder: (folder / file).write_bytes(change((folder / file).read_bytes()))


@pytest.mark.parametrize(
    "damage, complaint",
    [
        (lambda folder: (folder / "101.atr").unlink(), "the file 101.atr is missing"),
        (changed("101.atr", lambda content: b""), "the annotation file 101.atr is empty or cut short"),
        (changed("101.atr", lambda content: content[:-5]), "the annotation file 101.atr is empty or cut short"),
        (changed("101.atr", lambda content: b"\5\0\0"), "the annotation file 101.atr cannot be read"),
        (lambda folder: annotate(folder, "101", "+~", [1, 2]), "none of its 2 annotations is of a beat"),
        (lambda folder: annotate(folder, "101", "NN", [1, 4320]), "101.atr has an annotation at sample 4,320; .*4,320"),
        (lambda folder: (folder / "101.dat").unlink(), "the file 101.dat is missing"),
        (changed("101.dat", lambda content: content[:-500]), "cannot be read"),
        (lambda folder: write(folder, "101", np.ones((4320, 2), int), ("I", "V5"), 360), "lead MLII/V5 is constant"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_and_may_be_left_out(tiny, damage, complaint):
    write_record(tiny, "106", "NNVN")
    damage(tiny)
    with pytest.raises(ValueError, match=rf"1 of 5 records .* cannot be used:\n  101: {complaint}[^\0]*--skip-broken"):
        data_mitbih.load(tiny, "beats")
    data = data_mitbih.load(tiny, "beats", skip_broken=True)
    assert set(data.records["name"]) == {"100", "106", "124", "202"}
    assert data.notes[-1].startswith("record 101 left out: ")


def test_a_record_shorter_than_a_segment_is_named_and_has_beats_nevertheless(tiny):
    write_record(tiny, "101", seconds=9)
    with pytest.raises(ValueError, match="101: it lasts 9 seconds, and a segment needs 10"):
        data_mitbih.load(tiny, "segments")
    assert of_record(data_mitbih.load(tiny, "beats"), "101").sum() == 9


def test_a_folder_without_records_is_refused_with_the_ways_to_get_them(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="no MIT-BIH records in .*--dataset mitbih --download.*ECG_DATA"):
            data_mitbih.load(folder, "beats")
    write_record(tmp_path, "102")
    with pytest.raises(ValueError, match="protocol inter-patient uses none of the records in"):
        data_mitbih.load(tmp_path, "beats")


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"protocol": "intra"}, "no protocol 'intra'; there are: inter-patient, random"),
        ({"sampling_rate": 0}, "a positive sampling rate and leads are needed: 0"),
        ({"leads": ()}, r"a positive sampling rate and leads are needed: 360, \(\)"),
        *(({"window": came}, "window must be .* 10 at most, not") for came in [(1,), (-1, 2), (0, 0.001), (9, 9)]),
        ({"band": (0.5,)}, "band must be the lowest and the highest frequency, or nothing"),
        ({"band": (0.5, 200)}, "a band-pass needs 0 < low < high < 180 Hz"),
    ],
)
def test_an_option_out_of_range_is_refused_before_anything_is_read(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        data_mitbih.load(None, "beats", **options)


def test_a_download_fetches_three_files_of_each_record(monkeypatch):
    def fetch(url, folder, files):
        assert (url, folder, len(files)) == (data_mitbih.URL, "here", 3 * 48)
        assert files[:4] == ["100.hea", "100.dat", "100.atr", "101.hea"]
        raise ConnectionError("as far as this test goes")

    monkeypatch.setattr(data_mitbih.downloads, "fetch", fetch)
    with pytest.raises(ConnectionError, match="as far as"):
        data_mitbih.load("here", "beats", download=True)


@pytest.fixture
def counted(monkeypatch):
    """Names of the records that are read from their files, as it happens."""
    names, read = [], wfdb_files.read_record
    monkeypatch.setattr(wfdb_files, "read_record", lambda folder, name: names.append(name) or read(folder, name))
    return names


@pytest.mark.parametrize("task", data_mitbih.TASKS)
def test_the_second_start_reads_no_recording_and_gives_the_same(tiny, counted, task):
    first = data_mitbih.load(tiny, task)
    assert sorted(counted) == ["100", "101", "124", "202"]
    counted.clear()
    second = data_mitbih.load(tiny, task)
    assert counted == []
    for name in ("signals", "features", "labels", "groups", "split"):
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
    assert second.records.equals(first.records)
    assert (second.notes, second.checksum) == (first.notes, first.checksum)


def test_only_what_changed_is_read_anew(tiny, counted):
    before = data_mitbih.load(tiny, "beats")
    assert data_mitbih.load(tiny, "segments", sampling_rate=100).checksum == before.checksum  # that of the files
    counted.clear()
    annotate(tiny, "101", "V" * 12, range(180, 12 * 360, 360))  # of the same size
    after = data_mitbih.load(tiny, "beats", protocol="random")
    assert sorted(counted) == ["101", "102", "201"]
    assert set(after.records["symbol"][of_record(after, "101")]) == {"V"}
    assert data_mitbih.load(tiny, "beats").checksum != before.checksum
    data_mitbih.load(tiny, "beats", window=(0.2, 0.2))
    assert sorted(counted[3:]) == ["100", "101", "124", "202"]


def test_a_damaged_cache_is_built_anew(tiny, counted, capsys):
    first = data_mitbih.load(tiny, "beats")
    (path,) = (tiny / ".cache").glob("101-*.npz")
    path.write_bytes(path.read_bytes()[:-100])
    counted.clear()
    second = data_mitbih.load(tiny, "beats")
    assert counted == ["101"]
    assert "is damaged and is built anew" in capsys.readouterr().out
    np.testing.assert_array_equal(second.signals, first.signals)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pandas, in wfdb: pytest.warns lets them through
def test_a_cache_that_cannot_be_written_is_said_and_does_no_harm(tiny, monkeypatch):
    (tiny / "file").write_text("not a folder")
    monkeypatch.setenv("ECG_CACHE", str(tiny / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot write a cache into .*; make room there, or .* ECG_CACHE="):
        data = data_mitbih.load(tiny, "beats")
    assert len(data.labels) == 48
