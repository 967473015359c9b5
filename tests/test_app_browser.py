"""The web app as a person uses it, in a real browser: `python -m pytest -m browser`.

Needs Debian's chromium, playwright and streamlit. With ECG_PICTURES=docs it writes the pictures of README there.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_wfdb
from tiny_runs import ROOT

import data_demo

pytestmark = pytest.mark.browser
SECONDS = 60  # until something that is waited for must be there
ECG = "Large squares are"  # begins the caption under the ECG


@pytest.fixture(scope="module")
def address():
    """The address of the app with the shipped models, as a process of its own on this machine alone."""
    pytest.importorskip("streamlit", reason="needs pip install -r requirements-apps.txt")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true"]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while (line := process.stdout.readline()) and "URL" not in line:
        pass
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install -r requirements-dev.txt")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no chromium is installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])  # which root cannot have
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The app, just opened, with an ECG of the demo."""
    page = browser.new_page(viewport={"width": 1440, "height": 1480}, accept_downloads=True)
    page.set_default_timeout(1000 * SECONDS)
    page.goto(address)
    page.get_by_text(ECG).wait_for()
    yield page
    page.close()


def choose(page, label, name):
    """Choose a name of a list."""
    page.get_by_label(label, exact=True).first.click()
    page.get_by_role("option", name=name).first.click()


def picture(page, name):
    """Write a picture of the page, where pictures are asked for."""
    if folder := os.environ.get("ECG_PICTURES"):
        page.mouse.move(0, 0)
        page.wait_for_timeout(1500)  # for what fades in
        page.screenshot(path=Path(folder) / name)


def expect_leads(page, names):
    """Wait until the ECG has traces with these names, and no others."""
    from playwright.sync_api import expect

    labels = page.locator(".js-plotly-plot").last.locator(".ytick text")
    expect(labels).to_have_text([re.compile(rf"^\s*{name}\s*$") for name in names], timeout=1000 * SECONDS)


def test_a_demo_recording_shows_probabilities_meaning_and_explanation(page):
    choose(page, "Synthetic recording", "Infarction (MI)")
    page.get_by_text("no diagnosis may rest on it").wait_for()
    page.get_by_text("Part of the heart muscle seems to have been without blood").wait_for()
    page.get_by_text("speaks for MI; orange: speaks against MI").wait_for()
    assert page.locator(".js-plotly-plot").first.locator(".bartext").count() == 5
    picture(page, "app-record.png")
    page.get_by_text("what it reads, scores, limits").click()
    page.get_by_text("It learned from 17,084 of them").wait_for()


def test_beats_are_coloured_and_choosing_a_row_turns_to_it(page):
    choose(page, "Model", "cnn-lstm-context")
    page.get_by_text("Beat from a ventricle (V).").wait_for()
    page.get_by_text("speaks for V").wait_for()
    expect_leads(page, ["MLII"])
    picture(page, "app-beats.png")
    page.get_by_role("slider").press("ArrowRight")
    page.get_by_text("0:10 to 0:20").wait_for()
    page.get_by_test_id("stDataFrame").click(position={"x": 16, "y": 52})  # the box of the first row
    page.get_by_text("0:00 to 0:10").wait_for()


def test_files_are_uploaded_read_toggled_and_downloaded_and_rubbish_gets_a_sentence(page, tmp_path):
    signals = data_demo.load(None, "superclass", records=12, sampling_rate=500).signals
    for number in (0, 1):
        digital = np.round(1000 * signals[number]).astype(int)
        tiny_wfdb.write(tmp_path, f"mine-{number}", digital, data_demo.LEADS, 500)
    (tmp_path / "rubbish.csv").write_bytes(bytes(range(256)))
    page.get_by_text("My files").click()
    page.locator("input[type=file]").set_input_files(sorted(tmp_path.iterdir()))
    page.get_by_text("rubbish: this is no text; a CSV file has numbers").wait_for()
    expect_leads(page, data_demo.LEADS)

    page.get_by_role("button", name="AVR", exact=True).click()
    expect_leads(page, [lead for lead in data_demo.LEADS if lead != "AVR"])

    with page.expect_download() as downloaded:
        page.get_by_role("button", name=re.compile("Download the table")).click()
    table = pd.read_csv(downloaded.value.path())
    assert table["record"].tolist() == ["mine-0", "mine-1", "rubbish"]
    assert table["error"].isna().tolist() == [True, True, False]
    assert table.loc[:1, list(data_demo.TASKS["superclass"])].notna().all(axis=None)
    assert page.get_by_text("Traceback").count() == 0
