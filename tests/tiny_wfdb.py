"""Tiny WFDB records for tests."""

import numpy as np
import wfdb


def write(folder, name, digital, leads=("I", "II"), sampling_rate=100, gain=1000.0, baseline=0, units="mV", fmt="16"):
    """Write integers `(samples, leads)` as the record `name`."""
    digital = np.asarray(digital)
    count = digital.shape[1]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        path.name,
        fs=sampling_rate,
        units=[units] * count,
        sig_name=list(leads),
        d_signal=digital,
        fmt=[fmt] * count,
        adc_gain=[gain] * count,
        baseline=[baseline] * count,
        write_dir=str(path.parent),
    )


def edit_header(folder, name, old, new):
    """Replace bytes of a header that wfdb itself would refuse to write."""
    path = folder / f"{name}.hea"
    content = path.read_bytes()
    assert old in content, f"{content} has no {old}"
    path.write_bytes(content.replace(old, new))
