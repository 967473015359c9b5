"""Other rhythms of a recording: its own beats, in another order and at other times, to train on.

Few patients of MIT-BIH have atrial fibrillation, one of DS1, and none there has mostly early beats. What a network is
to make of these it can learn from the beats of others, since the features of a rhythm need only times.
"""

import numpy as np

BEATS = 300  # of a made recording: five minutes
SHORTEST = 0.25  # s between two beats; the ventricles cannot follow faster
FEWEST = 4  # beats of a class, or a rhythm has nothing to be made of
NORMAL, SUPRAVENTRICULAR, VENTRICULAR = range(3)  # numbers of the classes of `beats.CLASSES`


def fibrillation(classes, rng):
    """Beats and intervals as in atrial fibrillation: each interval is drawn anew, and nothing comes early.

    Where there are ventricular beats, they come as often as chance has it, and sooner than others.

    Returns:
        Positions of beats, and seconds before each; or None without beats that are not supraventricular.
    """
    places = np.flatnonzero(classes != SUPRAVENTRICULAR)
    if len(places) < FEWEST:
        return None
    order = _stretch(places, BEATS, rng)
    ventricular = np.flatnonzero(classes == VENTRICULAR)
    if len(ventricular) >= FEWEST and rng.random() < 0.5:
        order = np.where(rng.random(BEATS) < rng.uniform(0.05, 0.3), rng.choice(ventricular, BEATS), order)
    intervals = rng.uniform(0.45, 1.1) * np.exp(rng.normal(0, rng.uniform(0.1, 0.35), BEATS))
    sooner = np.where(classes[order] == VENTRICULAR, rng.uniform(0.5, 1), 1)
    return order, np.maximum(sooner * intervals, SHORTEST)


def atrial_runs(classes, rng):
    """Beats and intervals of runs of supraventricular beats, at a steady pace of their own, among normal ones.

    From a tenth to nine tenths of the beats are supraventricular: what is usual for such a patient is not normal.

    Returns:
        Positions of beats, and seconds before each; or None without beats of both classes.
    """
    early, normal = (np.flatnonzero(classes == number) for number in (SUPRAVENTRICULAR, NORMAL))
    if min(len(early), len(normal)) < FEWEST:
        return None
    share = rng.uniform(0.1, 0.9)
    run = rng.uniform(1, 12 if share > 0.5 else 3)  # beats, in the mean
    normal_pace, jitter = rng.uniform(0.7, 1.3), rng.uniform(0.01, 0.06)
    early_pace, pause = normal_pace * rng.uniform(0.5, 0.85), rng.uniform(1, 1.4)
    order, intervals = [], []
    while len(order) < BEATS:
        count, others = rng.geometric(1 / run), max(1, rng.poisson(run * (1 - share) / share))
        order += [*_stretch(early, count, rng), *_stretch(normal, others, rng)]
        intervals += [early_pace] * count + [pause * normal_pace] + [normal_pace] * (others - 1)
    return np.array(order), np.array(intervals) * np.exp(rng.normal(0, jitter, len(order)))


RHYTHMS = (fibrillation, atrial_runs)


def made(classes, count, seed=0):
    """Yield so many recordings of each rhythm that can be made of beats of these `classes` `(beats,)`.

    Each is positions of beats `(beats,)`, of BEATS or a few more, and their R-peaks in seconds.
    """
    for number, rhythm in enumerate(RHYTHMS):
        for turn in range(count):
            if found := rhythm(classes, np.random.default_rng((seed, number, turn))):
                order, intervals = found
                yield order, np.cumsum(intervals)


def _stretch(places, count, rng):
    """So many of `places`, one after the other from a random one on, beginning again after the last."""
    return places[(rng.integers(len(places)) + np.arange(count)) % len(places)]
