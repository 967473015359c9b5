"""Published files arrive whole, are checked, and are not fetched twice."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

import downloads

CONTENTS = {f"records/{number}.dat": bytes([number]) * 1000 for number in range(20)} | {"notes.txt": b"nothing new"}


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; `server.cut` paths stop half way, as often as the number says."""

    def do_GET(self):  # noqa: N802
        self.server.asked.append(self.path)
        if self.server.cut.get(self.path, 0) > 0:
            self.server.cut[self.path] -= 1
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 500)
            self.close_connection = True
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=folder))
        self.folder, self.asked, self.cut = folder, [], {}
        self.url = f"http://127.0.0.1:{self.server_port}/"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "published"
    for name, content in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in CONTENTS.items()]
    (folder / "SHA256SUMS.txt").write_text("".join(sums))
    with Server(folder) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloaded"


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files_arrive_as_published(server, target):
    downloads.fetch(server.url, target, list(CONTENTS))
    assert files_in(target) == CONTENTS


def test_a_function_can_choose_among_the_published_files(server, target):
    downloads.fetch(server.url.rstrip("/"), target, lambda names: [name for name in names if name.endswith("7.dat")])
    assert set(files_in(target)) == {"records/7.dat", "records/17.dat"}


def test_threads_that_make_the_same_folder_do_not_trip_over_one_another(server, target, monkeypatch):
    def another_was_quicker(path, **_):
        raise FileExistsError(path)

    monkeypatch.setattr("pooch.core.os.makedirs", another_was_quicker)
    downloads.fetch(server.url, target, list(CONTENTS))
    assert files_in(target) == CONTENTS


def test_what_is_there_is_not_fetched_again_but_what_was_damaged_is(server, target):
    downloads.fetch(server.url, target, list(CONTENTS))
    (target / "notes.txt").write_bytes(b"damaged")
    server.asked.clear()
    downloads.fetch(server.url, target, list(CONTENTS))
    assert server.asked == ["/SHA256SUMS.txt", "/notes.txt"]
    assert files_in(target) == CONTENTS


def test_a_connection_cut_once_is_tried_again(server, target):
    server.cut["/records/3.dat"] = 1
    downloads.fetch(server.url, target, list(CONTENTS))
    assert server.asked.count("/records/3.dat") == 2
    assert files_in(target) == CONTENTS


def test_a_connection_cut_for_good_keeps_whole_files_and_the_next_run_goes_on(server, target):
    server.cut["/records/3.dat"] = 99
    with pytest.raises(ConnectionError, match=r"could not reach .*/records/3.dat .*are kept: run the same command"):
        downloads.fetch(server.url, target, list(CONTENTS), workers=1)
    kept = files_in(target)
    assert kept == {name: CONTENTS[name] for name in kept} and "records/2.dat" in kept
    server.cut.clear()
    server.asked.clear()
    downloads.fetch(server.url, target, list(CONTENTS))
    assert files_in(target) == CONTENTS
    assert len(server.asked) == 1 + len(CONTENTS) - len(kept)


def test_a_wrong_checksum_names_the_file_and_both_sums_and_leaves_nothing(server, target):
    (server.folder / "records/3.dat").write_bytes(b"other")
    expected, came = (hashlib.sha256(content).hexdigest() for content in (CONTENTS["records/3.dat"], b"other"))
    with pytest.raises(ValueError, match=f"records/3.dat is not what was published: .*{expected}.*{came}"):
        downloads.fetch(server.url, target, ["records/3.dat"])
    assert files_in(target) == {}


def test_a_file_the_server_lost_is_named_with_its_answer(server, target):
    (server.folder / "records/3.dat").unlink()
    with pytest.raises(ConnectionError, match=r"/records/3.dat answers 404 File not found"):
        downloads.fetch(server.url, target, list(CONTENTS))


def test_a_file_that_is_not_published_is_an_error_before_anything_is_fetched(server, target):
    with pytest.raises(ValueError, match=r"SHA256SUMS.txt lists no records/99.dat; it lists 21 other files"):
        downloads.fetch(server.url, target, ["notes.txt", "records/99.dat"])
    assert not target.exists()


def test_a_server_without_sums_is_named(server, target):
    with pytest.raises(ConnectionError, match="nowhere/SHA256SUMS.txt answers 404"):
        downloads.fetch(server.url + "nowhere", target, [])


def test_a_server_that_is_gone_is_named(server, target):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match=f"could not reach {server.url}SHA256SUMS.txt"):
        downloads.fetch(server.url, target, list(CONTENTS))


def test_a_server_that_goes_away_is_not_asked_for_all_the_rest(server, target):
    server.cut = {f"/{name}": 99 for name in CONTENTS}
    with pytest.raises(ConnectionError, match="could not reach"):
        downloads.fetch(server.url, target, list(CONTENTS), workers=2)
    assert len(server.asked) < 1 + 3 * len(CONTENTS) / 2  # three times each would be 63
    assert files_in(target) == {}
