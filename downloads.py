"""Downloads: files of a published database, many at once, each checked against its SHA256SUMS.txt."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

SUMS = "SHA256SUMS.txt"
pooch.get_logger().setLevel("ERROR")  # it has a line for every file, of which there are tens of thousands


def fetch(url, folder, files, workers=16):
    """Fetch `files` from `url` into `folder`; what is there and has the published checksum stays.

    Args:
        url: of the database; its `SHA256SUMS.txt` lists what is published.
        folder: where the files go, under the same paths.
        files: paths below `url`, or a function that chooses them from the set of published paths.
        workers: files fetched at once.

    Raises:
        ConnectionError: the server cannot be reached, or refuses a file; what is there is kept.
        ValueError: a file is not published, or is not what was published.
    """
    url, folder = url.rstrip("/") + "/", Path(folder)
    with requests.Session() as session:  # keeps its connections: a new one for each file takes four times as long
        session.mount(url, requests.adapters.HTTPAdapter(pool_maxsize=workers))
        sums = _published(session, url, folder)
        files = list(files(set(sums)) if callable(files) else files)
        unknown = [file for file in files if file not in sums]
        if unknown:
            raise ValueError(f"{url}{SUMS} lists no {', '.join(unknown[:5])}; it lists {len(sums):,} other files")
        source = pooch.create(folder, url, registry={file: sums[file] for file in files}, retry_if_failed=2)
        for parent in {(folder / file).parent for file in files}:
            parent.mkdir(parents=True, exist_ok=True)  # pooch's threads would trip over one another
        _fetch_all(source, files, partial(_get, session), workers)


def _published(session, url, folder):
    """The published checksum of each path."""
    try:
        answer = session.get(url + SUMS, timeout=30)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise _failure(error, url + SUMS, folder) from error
    lines = [line.split(maxsplit=1) for line in answer.text.splitlines() if line.strip()]
    return {path.removeprefix("*"): checksum for checksum, path in lines}


def _fetch_all(source, files, get, workers):
    """The first failure ends it: a server that is gone is not asked for the other 40,000 files."""
    pool = ThreadPoolExecutor(workers)
    running = {pool.submit(source.fetch, file, downloader=get): file for file in files}
    try:
        for done in tqdm(as_completed(running), "downloading", len(files), unit="file", delay=1):
            done.result()
    except requests.RequestException as error:
        raise _failure(error, source.get_url(running[done]), source.path) from error
    except ValueError as error:  # pooch's own words say what checksum came and what was expected
        raise ValueError(f"{running[done]} is not what was published: {error}") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _get(session, url, target, _source):
    """Write what `url` has into the file `target`, for pooch."""
    with session.get(url, timeout=30, stream=True) as answer, open(target, "wb") as file:
        answer.raise_for_status()
        for part in answer.iter_content(2**20):
            file.write(part)


def _failure(error, url, folder):
    answer = error.response
    what = (
        f"could not reach {url} ({error})" if answer is None else f"{url} answers {answer.status_code} {answer.reason}"
    )
    return ConnectionError(f"{what}; the files already in {folder} are kept: run the same command again to go on")
