"""A table of many records, made in parts: a run that was killed goes on with the part it was at.

The parts may be made on this machine or on a Ray cluster, whose nodes may be killed too. Only `on_ray` imports Ray.
"""

import hashlib
import json
import logging
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

import writing

HERE = Path(__file__).parent
NO_CODE = [".git", ".venv", "datasets", "results", "saved_models", "tests", "benchmarks", "__pycache__"]
ATTEMPTS = 5  # with no part finished in between: then it is not a lost node that is the matter
BLOCKS = 4096  # more make Ray's scheduler slow


@dataclass(frozen=True)
class Archive:
    """A CSV file to be made, a row for each record; parts of it wait in a folder beside it until all are there.

    Attributes:
        path: of the CSV file. columns: its names; where `error` is not empty, the record is broken.
        records: paths without extension, in the order of the rows. size: how many are in a part.
        settings: all that rows depend on besides the records, a dict for JSON.
    """

    path: Path
    columns: list
    records: list
    size: int
    settings: dict

    @property
    def folder(self):
        return self.path.with_name(f"{self.path.name}.parts")

    def begin(self):
        """Make the folder of parts, or see that the one there is of the same run.

        Raises:
            ValueError: it is of another model, of other records or settings.
        """
        path, wanted = self.folder / "settings.json", self.settings | {"records": _fingerprint(self.records)}
        if not path.exists():  # also where a finished run was killed while it removed its parts
            shutil.rmtree(self.folder, ignore_errors=True)
            with writing.whole(path) as temporary:
                temporary.write_text(json.dumps(wanted), encoding="utf-8")
        begun = json.loads(path.read_text(encoding="utf-8"))
        if other := [name for name in wanted if begun.get(name) != json.loads(json.dumps(wanted[name]))]:
            raise ValueError(
                f"{self.folder} has rows of a run that was stopped, with another {', '.join(other)}; "
                "remove that folder, or name another --csv"
            )

    def part(self, number):
        """The file of a part: its rows as CSV, without names of columns."""
        return self.folder / f"{number:06}.csv"

    def missing(self):
        """Numbers of the parts that are still to be made."""
        return [number for number in range(-(-len(self.records) // self.size)) if not self.part(number).exists()]

    def records_of(self, number):
        """The records of a part: the same in each run, since an int8 model sees those that share a batch."""
        return self.records[number * self.size : (number + 1) * self.size]

    def write(self, number, rows):
        """Keep the rows of a part, dicts by column."""
        with writing.whole(self.part(number)) as temporary:
            pd.DataFrame(rows, columns=self.columns).to_csv(temporary, index=False, header=False)

    def join(self):
        """Write the CSV file of all parts, remove them, and return how many records are broken."""
        broken = 0
        with writing.whole(self.path) as temporary, temporary.open("wb") as file:
            file.write(pd.DataFrame(columns=self.columns).to_csv(index=False).encode())
            for number in range(-(-len(self.records) // self.size)):
                file.write(self.part(number).read_bytes())
                broken += int(pd.read_csv(self.part(number), names=self.columns)["error"].notna().sum())
        shutil.rmtree(self.folder)
        return broken


def _fingerprint(records):
    """A hash of the names of records, and of the size and time of their files, as far as they are there."""
    told = hashlib.sha256()
    for record in records:
        for path in (Path(f"{record}.hea"), Path(f"{record}.dat")):
            facts = path.stat() if path.exists() else None
            told.update(f"{path}\n{facts and (facts.st_size, facts.st_mtime_ns)}\n".encode())
    return told.hexdigest()


def make(archive, answers):
    """Write the Archive from `answers`, which are (number of a part, its rows), and return how many are broken."""
    missing = archive.missing()
    left = sum(len(archive.records_of(number)) for number in missing)
    with tqdm(total=len(archive.records), initial=len(archive.records) - left, unit=" records", delay=1) as bar:
        for number, rows in answers:
            archive.write(number, rows)
            bar.update(len(rows))
    return archive.join()


def here(archive, tell):
    """Answers, one part after the other, of a function from records to rows."""
    return ((number, tell(archive.records_of(number))) for number in archive.missing())


def on_ray(archive, open_teller, address):
    """Answers, in any order, of the actors of a Ray cluster.

    Args:
        open_teller: called once in each actor; what it returns is called with records and returns rows. Both have to
            find their files on every node under the same absolute path.
        address: of a running cluster, "auto" on one of its nodes.

    Raises:
        ValueError: Ray is not installed.
    """
    try:
        import ray.data
    except ImportError as error:
        raise ValueError("--ray needs Ray: pip install -r requirements-apps.txt") from error
    code = {"working_dir": str(HERE), "excludes": NO_CODE}  # sent to the nodes
    ray.init(address, runtime_env=code, log_to_driver=False, logging_level=logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    failures = 0
    while missing := archive.missing():
        try:
            for answer in _round(ray, archive, open_teller, missing):
                failures = 0
                yield answer
        except ray.exceptions.RayError as error:  # a node was lost: what it had is asked of the others
            failures += 1
            if failures == ATTEMPTS:
                raise ValueError(f"the Ray cluster failed {ATTEMPTS} times in a row: {error}") from error
            tqdm.write("part of the Ray cluster was lost; the rest is asked again", file=sys.stderr)
    ray.shutdown()


def _round(ray, archive, open_teller, missing):
    """Ask a cluster for these parts; an actor is not restarted, since it might wait for a lost node for ever."""
    items = [{"number": number, "records": [str(one) for one in archive.records_of(number)]} for number in missing]
    actors = min(len(items), max(1, int(ray.cluster_resources().get("CPU", 1))))
    told = ray.data.from_items(items, override_num_blocks=min(len(items), BLOCKS)).map_batches(
        Actor,
        fn_constructor_args=(open_teller,),
        batch_size=1,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        ray_remote_args_fn=lambda: {"max_restarts": 0, "max_task_retries": 0},
    )
    for row in told.iter_rows():
        yield int(row["number"]), json.loads(row["rows"])


class Actor:
    """What Ray Data keeps in a process of its own: one opened model."""

    def __init__(self, open_teller):
        self.tell = open_teller()

    def __call__(self, batch):
        rows = [json.dumps(self.tell([Path(one) for one in records])) for records in batch["records"]]
        return {"number": batch["number"], "rows": rows}
