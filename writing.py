"""Files that are written whole or not at all."""

import contextlib
import os
import uuid


@contextlib.contextmanager
def whole(path):
    """A temporary path beside `path` to write to: renamed to `path` when all went well, removed when not.

    So no half-written file is ever taken for a whole one; a process that is killed leaves a file `.part-...`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".part-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # renamed, or never there
            temporary.unlink()
