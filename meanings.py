"""In plain words: what classes mean and what a person might do next, what a model reads, and what it is worth."""

from typing import NamedTuple


class Meaning(NamedTuple):
    """A class for people who know no ECG: its name, what it says, what to do."""

    name: str
    says: str
    then: str


FEW = 500  # beats or records of a class to learn from
READS = {"beats": "beats", "segments": "ten seconds at a time", "heartbeat": "single heartbeats"}
SCORES = {
    "macro_auc": "macro AUC",
    "macro_precision": "precision",
    "macro_recall": "recall",
    "macro_f1": "F1",
    "accuracy": "accuracy",
    "subset_accuracy": "all classes right",
    "hamming_loss": "wrong decisions (Hamming)",
}
URGENT = "With chest pain, breathlessness or cold sweat, call the emergency number now, whatever this page says."

MEANINGS = {
    "NORM": Meaning(
        "Normal ECG",
        "No infarction, ST/T change, conduction disturbance or hypertrophy stands out.",
        f"It does not rule out heart disease. {URGENT}",
    ),
    "MI": Meaning(
        "Infarction",
        "Part of the heart muscle seems to have been without blood, lately or long ago: this cannot tell which.",
        f"{URGENT} Else have a doctor compare it with an earlier ECG soon.",
    ),
    "STTC": Meaning(
        "ST/T change",
        "The heart recovers from its beats unusually: lack of blood, salts, medicines, inflammation or strain do that.",
        f"{URGENT} Else a doctor weighs it against medicines, blood salts and an earlier ECG.",
    ),
    "CD": Meaning(
        "Conduction disturbance",
        "The electrical signal comes late to part of the heart, as in a bundle branch block.",
        "Often old and harmless. With fainting, dizziness or a very slow pulse, see a doctor today.",
    ),
    "HYP": Meaning(
        "Hypertrophy",
        "A wall of the heart seems thickened, often by years of high blood pressure.",
        "Have the blood pressure measured; an ultrasound of the heart settles it.",
    ),
    "N": Meaning(
        "Normal beat",
        "Begins where it should. Beats with a bundle branch block count here, too.",
        "Nothing, because of these beats alone.",
    ),
    "S": Meaning(
        "Early beat from the atria",
        "Comes too soon, from the atria or the node below them; narrow like a normal beat.",
        "Single ones are common. With many, or an irregular pulse, have a doctor look for atrial fibrillation.",
    ),
    "V": Meaning(
        "Beat from a ventricle",
        "Begins in a ventricle instead of above it: wide, and mostly too early.",
        "Single ones are common. Three or more in a row, or fainting: see a doctor today.",
    ),
    "F": Meaning(
        "Fusion beat",
        "A normal beat and one from a ventricle fall together.",
        "Read it as a beat from a ventricle.",
    ),
    "Q": Meaning(
        "Paced or unclear beat",
        "Made by a pacemaker, or like nothing that the model knows.",
        "Look at the strip: is there a pacemaker, or noise?",
    ),
    "normal": Meaning(
        "Normal",
        "Like what was labelled normal in training.",
        "It does not rule out heart disease.",
    ),
    "abnormal": Meaning(
        "Abnormal",
        "Like what was labelled abnormal in training; this model does not tell in which way.",
        "Have somebody who reads ECGs look at it.",
    ),
}


def meaning_of(name):
    """The Meaning of a class; one without words where it has none."""
    return MEANINGS.get(name, Meaning(name, "", ""))


def contradiction(names):
    """Whether these classes cannot be true together."""
    return "NORM" in names and len(names) > 1


def titled(name):
    """A class by its plain name and its own, if these are two."""
    plain = meaning_of(name).name
    return plain if plain.lower() == name.lower() else f"{plain} ({name})"


def reads(card):
    """What a model reads."""
    count = len(card.leads)
    return f"{READS.get(card.cutting.get('task'), 'whole recordings')}, {count} lead{'s' * (count > 1)}"


def scores_of(card):
    """A row for each score of a card, with its 95 % interval where that is known."""
    splits = [split for split in ("test", "validation") if split in card.scores]
    rows = []
    for key, name in SCORES.items():
        bounds = [
            card.scores[f"test_{end}"][key] for end in ("low", "high") if key in card.scores.get(f"test_{end}", ())
        ]
        values = {split: f"{card.scores[split][key]:.3f}" for split in splits if key in card.scores[split]}
        if bounds:
            values["test"] += " ({:.3f} to {:.3f})".format(*bounds)
        rows += [{"score": name} | values] if values else []
    return rows


def limits_of(card):
    """Sentences on what a model was made of, and where it ends."""
    data = card.data
    yield f"It reads {reads(card)} ({', '.join(card.leads)}), brought to {card.sampling_rate:g} Hz."
    yield f"It learned from {data['records']['train']:,} of them, of {data['source']}: others may give other scores."
    if data["leaks_patients"]:
        yield "Its scores are of patients that it learned from: for new ones they are lower."
    if "test" not in card.scores:
        yield "Its scores are of validation data, on which choices were made: expect less for new patients."
    few = {name: count for name, count in data.get("counts", {}).get("train", {}).items() if count < FEW}
    if few:
        yield "It has seen few " + ", ".join(f"{name} ({count:,})" for name, count in few.items()) + "."
    if card.feature_names and not card.cutting:
        medians = zip(card.feature_names, card.feature_defaults, strict=True)
        yield "Where they are unknown it takes " + ", ".join(f"{name} as {value:g}" for name, value in medians) + "."
    if card.thresholds:
        yield f"Thresholds were chosen for {card.threshold_goal} on validation data."
    else:
        yield "The most probable class is decided, however improbable it is."
