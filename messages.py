"""What requests and answers of `serve` are made of, and how its OpenAPI page describes them."""

from typing import Annotated, Literal

import numpy as np
from pydantic import AllowInfNan, BaseModel, ConfigDict, FailFast, Field

import preprocessing
import uploads


class Asked(BaseModel):
    """What every request may ask for."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = Field(None, description="one of GET /models", max_length=200)
    age: Annotated[float, AllowInfNan(False)] | None = Field(None, ge=0, le=uploads.OLDEST, description="in years")
    sex: Literal["female", "male"] | None = None
    processed: bool = Field(False, description="answer what the network was given, too")
    attention: bool = Field(False, description="answer what the network attended to, too")


class Samples(Asked):
    """A recording as numbers: millivolts, a row for each sample, with one number for each lead."""

    sampling_rate: Annotated[float, AllowInfNan(False)] = Field(ge=uploads.LOWEST, le=uploads.HIGHEST)
    leads: list[Annotated[str, Field(max_length=40)]] = Field(min_length=1, max_length=uploads.LEADS)
    # Only the first wrong number is told: a message about each could be longer than the request.
    samples: Annotated[list[Annotated[list[Annotated[float, AllowInfNan(False)]], FailFast()]], FailFast()]


class Upload(Asked):
    """A WFDB record in the field `files`: .hea and .dat, or a .dat alone with the fields that stand for a header."""

    sampling_rate: Annotated[float, AllowInfNan(False)] | None = None
    leads: str | None = Field(None, description="names with commas between, as in I,II,V1")
    format: Literal[tuple(uploads.FORMATS)] | None = Field(None, description="of WFDB")
    gain: Annotated[float, AllowInfNan(False)] | None = Field(None, gt=1e-9, le=1e9, description="steps a millivolt")
    baseline: int | None = Field(None, ge=-(2**24), le=2**24, description="step that is 0 mV; 0 when not given")


class Part(BaseModel):
    """A beat or segment: the sample at which it is or begins, and the class that was decided."""

    sample: int
    decision: str
    top_class: str
    probabilities: list[float]


class Answer(BaseModel):
    """Lists are in the order of `classes`. Models of beats and segments answer `parts` instead of one prediction."""

    model: str
    classes: list[str]
    thresholds: list[float] = Field(description="none: the most probable class is decided")
    probabilities: list[float] | None = None
    decisions: list[bool] | None = None
    top_class: str | None = None
    parts: list[Part] | None = None
    summary: dict | None = Field(None, description="of the parts, as predict.py gives it")
    processed: list | None = Field(None, description="(windows or parts, samples, leads), or tokens")
    attention: list | None = Field(None, description="(windows or parts, ...), as in the model's layer")


class Problem(BaseModel):
    """What is wrong with a request, and what is expected."""

    detail: str


def example_of(card):
    """A short made-up recording that the model of a card reads, as Samples: half a second, or one segment."""
    leads = ["V1" if lead.upper() == preprocessing.OTHER else lead.split("/")[0] for lead in card.leads]
    seconds = 10 if card.cutting.get("task") == "segments" else 0.5
    times = np.arange(round(seconds * max(card.sampling_rate, uploads.LOWEST))) / card.sampling_rate
    wave = np.round(np.sin(2 * np.pi * times)[:, None] * np.linspace(0.5, 1, len(leads)), 2)
    return {"sampling_rate": card.sampling_rate, "leads": leads, "samples": wave.tolist(), "age": 63, "sex": "female"}


def request_body(card):
    """The body of POST /predict for OpenAPI, with an example for the model of a card."""
    form = Upload.model_json_schema()
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1, "maxItems": 2}
    form["properties"]["files"] = files | {"description": "NAME.dat and NAME.hea, or NAME.dat alone"}
    form["required"] = ["files"]
    numbers = {"schema": Samples.model_json_schema(), "example": example_of(card)}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": numbers, "multipart/form-data": {"schema": form}},
        }
    }


def problems(*statuses):
    """Answers with these statuses, for OpenAPI."""
    return {status: {"model": Problem} for status in statuses}
