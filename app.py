"""The web app: `streamlit run app.py`, with the models of `saved_models/` or of the folder in ECG_MODELS.

Recordings come as WFDB pairs, as CSV files or from the demo; what is told of them is what `predict.py` tells.
"""

import re
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import streamlit as st

import card as cards
import charts
import logs
import meanings
import metrics
import readings
import runtimes
import uploads
import wfdb_files

MEGABYTES = 32  # of a file
RHYTHM = {"heart rate": "Heart rate (1/min)", "runs of V": "Runs of V", "longest run": "Longest run of V"}
COLOURS = "Blue:", "orange:"  # what speaks for a class, and against it


@st.cache_resource
def prepare_process():
    """What is done once, whoever opens the page."""
    logs.as_json()
    wfdb_files.quicken_headers()


@st.cache_resource
def models_in(folder):
    """Path and card of every model in a folder, by name: the Keras file where there are several.

    Raises:
        ValueError: there is none, or a card is damaged.
    """
    paths = {path.stem: path for suffix in (cards.ONNX, *cards.SUFFIXES[::-1]) for path in folder.glob(f"*{suffix}")}
    alone = {path.stem: path for path in folder.glob("*.json") if path.stem not in paths}
    found = {name: (path, cards.read(path)) for name, path in (alone | paths).items()}
    models = {name: (path, card) for name, (path, card) in found.items() if name in paths or card.members}
    if not models:
        raise ValueError(f"no model is in {folder}; train one with: python training.py")
    return models


@st.cache_resource(show_spinner="Opening the model, which takes some seconds the first time")
def opened(path):
    """The model at a path, and its card."""
    return cards.load(path)


@st.cache_resource(scope="session", max_entries=200, show_spinner="Reading the recording")
def told(path, source, age, sex):
    """The Reading of a Source by the model at a path; or, as a string, why there is none."""
    return readings.tell(*opened(path), source, age, sex)


@st.cache_resource(scope="session", max_entries=50, show_spinner="Looking for what speaks for this class")
def explained(path, source, age, sex, rows, chosen, method):
    """Relevance `(rows, samples, leads)` of some rows of a Reading for a class, and what its colours mean."""
    import explain  # here, since it brings TensorFlow: the page must not wait for that

    (model, card), inputs = opened(path), told(path, source, age, sex).inputs
    colours = zip(COLOURS, explain.legend(card, chosen, method), strict=False)
    words = "; ".join(f"{colour} {text}" for colour, text in colours)
    return explain.values_of(model, inputs, np.array(rows, int), chosen, method), words


def methods_of(model):
    """Names of the explanations that there are for a model."""
    if isinstance(model, runtimes.Onnx):
        return ()
    import attribution

    return attribution.methods_of(model)


def plain(text):
    """Text of others, without meaning as Markdown."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def draw(figure):
    """Show a figure."""
    st.plotly_chart(figure, theme=None, config=charts.CONFIG)


def choose_model(models):
    """The name of a model."""
    names = sorted(models, key=lambda name: (name != cards.RELEASE, name))
    return st.selectbox("Model", names)


def choose_sources(card):
    """Sources of recordings: one of the demo, or what was uploaded."""
    way = st.segmented_control("Recordings", ("Demo", "My files"), default="Demo", required=True)
    if way == "Demo":
        name = st.selectbox("Synthetic recording", readings.demo_names(card))
        st.caption("Made by a formula, the change faint or marked: what is told of it says little about the model.")
        return [readings.Source(name)]
    files = st.file_uploader(
        "WFDB pairs (.hea with .dat) or CSV",
        ["hea", "dat", "csv"],
        accept_multiple_files=True,
        max_upload_size=MEGABYTES,
        help="CSV: millivolt, a column for each lead under its name; or, for models of single heartbeats, one a row.",
    )
    rate = None
    if any(file.name.lower().endswith(".csv") for file in files):
        rate = st.number_input(
            "Sampling rate of the CSV (Hz)", uploads.LOWEST, uploads.HIGHEST, None, placeholder="needed"
        )
    return sources_of(files, rate)


def sources_of(files, sampling_rate):
    """A Source for each recording of uploaded files, which belong together by name."""
    groups = {}
    for file in files:
        groups.setdefault(PurePosixPath(file.name).stem, []).append((file.name, file.getvalue()))
    return [readings.Source(name, tuple(group), sampling_rate) for name, group in groups.items()]


def choose_patient(card):
    """Age in years and sex, None where they are not said, for a model that uses them."""
    if card.cutting or not card.feature_names:
        return None, None
    left, right = st.columns(2)
    says = "Where unknown, as the header says; else the median of the training."
    age = left.number_input("Age", 0, uploads.OLDEST, None, placeholder="unknown", help=says)
    return age, right.selectbox("Sex", ("female", "male"), None, placeholder="unknown")


def show_table(rows, card):
    """A row for each recording, to look at and to take away."""
    table = pd.DataFrame(rows)
    texts = {name: table[name].fillna("") for name in ("decided", "error") if name in table}
    st.dataframe(table.assign(**texts), hide_index=True, column_config={} if card.cutting else shares(card))
    content = table.to_csv(index=False)
    st.download_button("Download the table (CSV)", content, "predictions.csv", "text/csv", on_click="ignore")


def show_words(names):
    """What classes mean, and what to do next."""
    for name in names:
        meaning = meanings.meaning_of(name)
        st.markdown(f"**{meanings.titled(name)}.** {meaning.says}  \n**Next:** {meaning.then}")


def show_whole(reading):
    """Probabilities of a whole recording, and what they mean."""
    card = reading.card
    decided = metrics.decide(reading.probabilities, card.thresholds)[0].astype(bool)
    names = [meanings.titled(name) for name in card.classes]
    left, right = st.columns(2, gap="large")
    with left:
        draw(charts.bars(names, reading.probabilities[0], card.thresholds, decided))
        if card.thresholds:
            st.caption("Lines: thresholds, from which on a class counts as found.")
    with right:
        found = [name for name, yes in zip(card.classes, decided, strict=True) if yes]
        if not found:
            st.markdown("**No class reaches its threshold.** That is no sign of health: the model cannot tell.")
        if meanings.contradiction(found):
            st.markdown("**The model contradicts itself**, which it does when it is unsure.")
        show_words(found)


def show_parts(reading):
    """How many beats or segments there are of each class, where, and what that means."""
    card = reading.card
    left, right = st.columns(2, gap="large")
    with left:
        if "heart rate" in reading.row:
            for column, (name, title) in zip(st.columns(len(RHYTHM)), RHYTHM.items(), strict=True):
                value = reading.row[name]
                column.metric(title, "unknown" if value is None else f"{value:.0f}")
        draw(charts.over_time(reading.seconds, reading.places, card.classes))
    with right:
        found = [name for name in card.classes if reading.row[name]]
        if not found:
            st.markdown("**No beat was found.**")
        show_words(found[1:] or found)


def choose_page(reading, key):
    """The number of a page of the ECG."""
    starts, length = reading.pages()
    if len(starts) == 1:
        return 0
    names = [f"{clock(start)} to {clock(start + length)}" for start in starts]
    return st.select_slider("Page", range(len(starts)), format_func=names.__getitem__, key=key)


def clock(seconds):
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def choose_explanation(reading, rows, methods):
    """The method of an explanation, or "nothing", and the number of the class."""
    # The last is integrated gradients, which measurements found the most faithful.
    method = st.selectbox("Laid over the ECG", ("nothing", *methods), len(methods), format_func=str.capitalize)
    shown = reading.probabilities if reading.parts is None else reading.probabilities[rows]
    likely = shown.argmax(axis=1).max(initial=0) if reading.has_beats else shown[0].argmax()
    classes = reading.card.classes
    return method, st.selectbox("for the class", range(len(classes)), int(likely), format_func=classes.__getitem__)


def show_ecg(reading, asked, methods, key):
    """The ECG with its leads, beats in the colour of their class, and what speaks for a class."""
    page = choose_page(reading, key)
    rows, (starts, length), classes = reading.rows_on(page), reading.pages(), reading.card.classes
    left, right = st.columns((3, 2), gap="large", vertical_alignment="bottom")
    leads = left.pills("Leads", reading.leads, selection_mode="multi", default=reading.leads, wrap=True)
    leads = leads or reading.leads
    with right, st.container(horizontal=True):
        method, chosen = choose_explanation(reading, rows, methods)
    places = [reading.leads.index(lead) for lead in leads]
    alike = rows[reading.places[rows] == chosen] if reading.has_beats else rows
    over, words = None, ""
    if method != "nothing" and len(alike):
        values, words = explained(*asked, tuple(alike.tolist()), chosen, method)
        over = reading.laid_over(values, alike, page)[:, places]
    spans = [(*span, place, classes[place]) for *span, place in reading.spans(rows)]
    signals = reading.signals_on(page)[:, places]
    draw(charts.ecg(signals, leads, reading.sampling_rate, starts[page], length, spans, over))
    st.caption(f"Large squares are 0.2 s and 0.5 mV. Drag to enlarge, double-click to go back. {words}")


def show_rows(reading, key):
    """A row for each beat or segment; the page turns to one that is chosen."""
    table = reading.parts.drop(columns="sample")
    table.insert(0, "second", reading.seconds.round(2))

    def turn():
        if rows := st.session_state[f"{key} rows"].selection.rows:
            st.session_state[key] = reading.page_of(rows[0])

    st.dataframe(
        table, hide_index=True, column_config=shares(reading.card), height=240,
        on_select=turn, selection_mode="single-row", key=f"{key} rows",
    )  # fmt: skip
    content = reading.parts.to_csv(index=False)
    st.download_button("Download these rows (CSV)", content, "rows.csv", "text/csv", on_click="ignore")


def shares(card):
    """Columns of probabilities as bars."""
    bar = st.column_config.ProgressColumn(width="small", format="percent", min_value=0, max_value=1)
    return dict.fromkeys(card.classes, bar)


def show_card(name, card):
    """What a model is worth, and what it is not."""
    with st.expander(f"About {name}: what it reads, scores, limits"):
        left, right = st.columns(2, gap="large")
        if scores := meanings.scores_of(card):
            left.table(pd.DataFrame(scores).set_index("score"))
        right.markdown("\n".join(f"- {plain(limit)}" for limit in meanings.limits_of(card)))


def main():
    """The page."""
    st.set_page_config("ECG workbench", layout="wide")
    prepare_process()
    st.warning("Research software, no medical device: no diagnosis may rest on it. In an emergency, call for help.")
    try:
        models = models_in(cards.folder())
    except (ValueError, OSError) as error:
        st.error(plain(str(error)))
        return
    with st.sidebar:
        st.title("ECG workbench")
        name = choose_model(models)
        path, card = models[name]
        st.caption(f"Reads {meanings.reads(card)}.")
        sources = choose_sources(card)
        patient = choose_patient(card)
    if not sources:
        st.info("Choose recordings: a .hea with its .dat, or a CSV file. They stay in this app's memory.")
    show(name, path, card, sources, patient)


def show(name, path, card, sources, patient):
    """What a model tells of recordings."""
    try:
        model, card = opened(path)
    except (ValueError, OSError) as error:
        st.error(plain(str(error)))
        return
    found = {source: told(path, source, *patient) for source in sources}
    wrong = {source: why for source, why in found.items() if isinstance(why, str)}
    for source, why in wrong.items():
        st.error(f"**{plain(source.name)}**: {plain(why)}")
    if len(found) > 1:
        rows = [{"error": one} if isinstance(one, str) else one.row for one in found.values()]
        show_table([{"record": source.name} | row for source, row in zip(found, rows, strict=True)], card)
    right = [source for source in found if source not in wrong]
    if right:
        source = st.selectbox("Recording", right, format_func=lambda one: one.name) if len(found) > 1 else right[0]
        show_reading(name, model, found[source], (path, source, *patient))
    show_card(name, card)


def show_reading(name, model, reading, asked):
    """One recording."""
    key = f"page of {name} {asked[1].name} {len(reading.pages()[0])}"  # no page of another recording is kept
    (show_whole if reading.parts is None else show_parts)(reading)
    show_ecg(reading, asked, methods_of(model), key)
    if reading.parts is not None:
        show_rows(reading, key)


if __name__ == "__main__":
    main()
