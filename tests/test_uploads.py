"""Uploads that are no recording, or hostile, are refused with a message that helps; none is an error of ours."""

import functools
import io
import zipfile

import numpy as np
import pytest
import tiny_wfdb
from tiny_serve import files_of, refused

import uploads
import wfdb_files


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../record.dat", "other.dat", "http://127.0.0.1/x.dat", "s3://bucket/x.dat", "~", "a\\record.dat"],
)
def test_a_header_that_names_another_file_is_refused_before_anything_is_opened(client, record, monkeypatch, name):
    monkeypatch.setattr(wfdb_files.wfdb, "rdrecord", lambda *_, **__: pytest.fail("wfdb was asked to read"))
    header = record.with_suffix(".hea").read_bytes().replace(b"record.dat", name.encode())
    refused(client.post("/predict", files=files_of(record, header)), 422, "names the file", "'record.dat'")


@pytest.mark.parametrize(
    "old, new, words",
    [
        (b"record 2", b"record/3 2", ["not that of one WFDB record"]),
        (b"record 2", b"../record 2", ["not that of one WFDB record"]),
        (b"record 2", b"record 3", ["announces 3 signals, but has lines for 2"]),
        (b" 100 350", b" 100 349", ["349 samples of 2 leads in format 16 are 1,396 bytes, but 1,400 came"]),
        (b" 100 350", b" 100 999999999999", ["above 0 and up to 3600 s"]),
        (b" 100 350", b" 1 350", ["sampling rates from 50"]),
        (b"dat 16 ", b"dat 16x1000000 ", ["format 16x1000000 is not read"]),
        (b"dat 16 ", b"dat 16:99999999 ", ["format 16:99999999 is not read"]),
        (b"dat 16 ", b"dat 16\x80 ", ["format 16\\udc80 is not read"]),
        (b"dat 16 ", b"dat 516 ", ["format 516 is not read; there are: 16, 212"]),
        (b" 1000.0(0)/mV", b" 0(0)/mV", ["a gain of 0 came"]),
        (b" 1000.0(0)/mV", b" 1e-90(0)/mV", ["not finite", "a wrong gain"]),
        (b" 1000.0(0)/mV", b" 0.1(0)/mV", ["are gain and unit right"]),
        (b"/mV", b"/mmHg", ["unknown unit"]),
        (b" II", b" I", ["lead I is named 2 times"]),
        (b" II", b" X", ["the model needs lead II, but the recording has I, X"]),
        (b" II", b" 2", ["a signal must be written as FILE FORMAT"]),
        (b" II", b"", ["a signal must be written as FILE FORMAT"]),
        (b"record 2", b"rec\0ord 2", ["not that of one WFDB record"]),
        (b" II\n", b" II\n# age: 200\n", ["an age of 200"]),
    ],
)
def test_a_header_that_is_wrong_is_refused_with_what_was_expected(client, record, old, new, words):
    header = record.with_suffix(".hea").read_bytes()
    assert old in header, header
    refused(client.post("/predict", files=files_of(record, header.replace(old, new))), 422, *words)


def test_archives_and_bytes_that_are_no_wfdb_are_refused(client, record):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("record.dat", bytes(50_000_000))
    for content, word in ((bomb.getvalue(), "zip"), (b"\x1f\x8b\x08" + bytes(99), "gzip")):
        refused(client.post("/predict", files=files_of(record, dat=content)), 422, f"a {word} file came", "unpacked")
        refused(client.post("/predict", files=files_of(record, header=content)), 422, f"a {word} file came")
    refused(client.post("/predict", files=files_of(record, header=b"\x89PNG\r\n")), 422, "not that of one WFDB record")
    refused(client.post("/predict", files=files_of(record, header=b"")), 422, "not that of one WFDB record")
    refused(client.post("/predict", files=files_of(record, dat=b"short")), 422, "are 1,400 bytes, but 5 came")
    packed = {"content-encoding": "gzip", "content-type": "application/json"}
    refused(client.post("/predict", content=b"{}", headers=packed), 415, "a compressed body came")


def test_samples_that_are_marked_as_missing_are_refused(client, record):
    header = b"record 2 100 350\n" + b"".join(
        b"record.dat 16 1000(0)/mV 16 0 0 " + lead + b"\n" for lead in (b"I", b"II")
    )
    dat = np.zeros(700, "<i2")
    dat[7] = -(2**15)
    answer = client.post("/predict", files=files_of(record, header, dat.tobytes()))
    refused(answer, 422, "samples of lead II are not finite")


def test_wrong_sets_of_files_and_fields_are_refused(client, record):
    header, dat = files_of(record)
    post = functools.partial(client.post, "/predict")
    refused(post(files=[header]), 422, "files record.hea came; a .dat and its .hea are expected")
    refused(post(files=[dat]), 422, "fields sampling_rate, leads, format, gain are needed")
    refused(post(files=[header, dat], data={"gain": "200"}), 422, "gain came, but the header says that")
    refused(post(files=[header, dat, dat]), 400, "Too many files")
    refused(post(files=[dat, dat]), 422, "a .dat and its .hea are expected")
    refused(post(files=[("other", dat[1]), header]), 422, "field 'other' came")
    refused(post(files=[header, dat], data={"agee": "3"}), 422, "agee: Extra inputs are not permitted")
    refused(post(files=[header, dat], data={"age": "nan"}), 422, "age: ")
    refused(post(files=[header, dat], data={"age": "-1"}), 422, "age: ")
    refused(post(files=[header, dat], data={"sex": "x"}), 422, "sex: Input should be 'female' or 'male'")
    refused(post(files=[header, dat], data={"model": "nothing"}), 404, "no model 'nothing'; there are: ")
    refused(post(files=[header, dat], data={"model": "heartbeat"}), 422, "reads single beats of the Kaggle files")
    fields = {"sampling_rate": "100", "leads": "I,../II", "format": "16", "gain": "1000"}
    refused(post(files=[dat], data=fields), 422, "'../II' is no name of a lead")
    refused(post(files=[dat], data=fields | {"leads": "I,II,V1"}), 422, "bytes, but 1,400 came")


@pytest.mark.parametrize(
    "body, words",
    [
        (b"", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", "Input should be"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, NaN]]}', "samples.0.1"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, 1e999]]}', "samples.0.1"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, 1e300]]}', "not finite"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, 5000]]}', "up to 5000 mV came"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, "1"]]}', "samples.0.1"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, 1], [0]]}', "row 1 of samples has 1 numbers"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": []}', "the recording lasts 0 s"),
        (b'{"sampling_rate": 0, "leads": ["I", "II"], "samples": [[0, 1]]}', "sampling_rate: "),
        (b'{"sampling_rate": 100, "leads": [], "samples": [[0, 1]]}', "leads: "),
        (b'{"sampling_rate": 100, "leads": ["I", "i"], "samples": [[0, 1]]}', "a lead is named twice"),
        (b'{"sampling_rate": 100, "leads": ["\\ud800", "i"], "samples": [[0, 1]]}', ""),
    ],
)
def test_numbers_that_are_no_recording_are_refused(client, body, words):
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    refused(answer, 422, words)


def test_a_few_hundred_made_up_uploads_are_answered_without_an_error_of_ours(client, hypothesis):
    from hypothesis import strategies as st

    line = st.from_regex(
        r"[-\w./:~ ]{0,12}\.?(dat)? (16|212|80|8|310|516|0|999)(x\d|:\d|\+\d)? [-\d.e()/mVu ]{0,20} [IVx ]{0,3}"
    )
    good = st.just("r.dat 16 200(0)/mV 16 0 0 I")
    first = st.tuples(st.sampled_from(["r", "r/2", "../r", ""]), *[st.integers(-1, 10**6).map(str)] * 3).map(" ".join)
    lines = st.lists(line | good | st.text(max_size=40), max_size=4)
    header = st.tuples(first | st.just("r 1 100 4"), lines).map(
        lambda parts: "\n".join([parts[0], *parts[1]]).encode("utf-8", "ignore")
    )
    values = st.text(max_size=20) | st.integers().map(str) | st.floats().map(str) | st.sampled_from(["beats", "true"])
    names = st.sampled_from(
        ["model", "age", "sex", "sampling_rate", "leads", "format", "gain", "baseline", "processed"]
    )

    @hypothesis.settings(max_examples=150)
    @hypothesis.given(
        header | st.binary(max_size=99), st.binary(max_size=16), st.dictionaries(names, values, max_size=3)
    )
    def upload(header, dat, fields):
        for files in ([("files", ("r.hea", header)), ("files", ("r.dat", dat))], [("files", ("r.dat", dat))]):
            answer = client.post(
                "/predict", files=files, data={name: value.encode("utf-8", "ignore") for name, value in fields.items()}
            )
            assert answer.status_code < 500, (answer.text, header, dat, fields)

    upload()


def test_the_formats_of_samples_are_read_as_wfdb_writes_them(client, tmp_path):
    expected = None
    for kind in uploads.FORMATS:
        digital = np.random.default_rng(1).integers(0, 100, (201, 2))
        try:
            tiny_wfdb.write(tmp_path, f"f{kind}", digital, fmt=kind)
        except Exception:  # wfdb writes fewer formats than it reads
            continue
        told = client.post("/predict", files=files_of(tmp_path / f"f{kind}")).json()
        expected = expected or told
        assert told == expected, kind
