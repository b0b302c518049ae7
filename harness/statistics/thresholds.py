"""Every threshold that decides a verdict, in one place, with where it comes from.

A verdict is `interpretable`, `caution` or `not interpretable`. Each criterion has two limits: past the first it is a
reason for caution, past the second a reason not to interpret. Where no source is named the limit is a convention of
this project.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["BEGINNING", "FIND", "JUDGES", "TEXTS", "THRESHOLDS", "Level", "Limit", "Threshold", "judge"]

Level = Literal["caution", "not interpretable"]


class Threshold(NamedTuple):
    """One criterion: its limits, which side of them is bad, and why they lie there."""

    caution: float
    bad: float | None
    """None: the criterion never forbids interpretation by itself."""
    side: Literal["above", "below"]
    """Which side of a limit counts against the numbers; a value on the limit of `above` counts."""
    source: str


class Limit(NamedTuple):
    """A limit that decides something by itself, such as where a written text stops being one that can be judged."""

    value: float
    source: str


FIND = Limit(
    0.05,
    "p of a fit's statistic under shuffled labels of the poles (Phipson & Smyth 2010), adjusted over the tests of a "
    "run (Benjamini & Hochberg 1995): the usual level of a test",
)
"""Up to which p a fit found something."""

THRESHOLDS: dict[str, Threshold] = {
    "acquiescence": Threshold(
        0.10, 0.20, "above",
        "share of the range, absolute. A tenth is 0.4 points of 1 to 5: about two thirds of a between-person SD of "
        "IPIP-NEO-120 (.51 to .67), which no counterbalancing should have to remove",
    ),
    "position_bias": Threshold(
        0.05, 0.20, "above", "share of the range, absolute, and only where it exceeds two standard errors over items"
    ),
    "option_mass": Threshold(0.80, 0.50, "below", "below one half, most of what the model would say is no answer"),
    "invalid": Threshold(0.05, 0.25, "above", "share of requests without a valid answer"),
    "degenerate": Threshold(
        0.95, 0.95, "above", "one position or one meaning takes so large a share of the answers that nothing is left"
    ),
    "order_agreement": Threshold(
        0.50, 0.25, "below",
        "r of the items' answers in forward and in reverse order; limits as for an intraclass correlation (Koo & Li "
        "2016). An interval that reaches zero is past the second limit too: the answers do not depend on the item",
    ),
    "dependability": Threshold(
        0.80, 0.50, "below",
        "E rho^2 of a scale with the conditions that aim at its trait as the object of measurement, over items, orders "
        "and templates. .80 is the usual demand of a G-study (Cardinet, Johnson & Pini 2010; Shavelson & Webb 1991; "
        "Brennan 2001); below .50 more of the differences is error than not",
    ),
    "respondents": Threshold(
        20, None, "below",
        "with fewer, the 95 % interval of an alpha of .70 over 24 items reaches below .47 (Feldt 1965)",
    ),
    "alpha": Threshold(0.70, 0.50, "below", "Nunnally & Bernstein (1994) ask .70; below .50 most is error"),
    "alpha_lower": Threshold(0.50, None, "below", "lower end of Feldt's (1965) 95 % interval"),
    "alpha_upper": Threshold(
        0.0, 0.0, "below",
        "upper end of that interval, under a control: wholly below zero the keys of a scale go against each other",
    ),
    "omega_total": Threshold(0.70, 0.50, "below", "as alpha (McDonald 1999)"),
    "retest": Threshold(0.50, 0.25, "below", "below .50 an intraclass correlation is poor (Koo & Li 2016)"),
    "disattenuated_mean": Threshold(
        0.75, 0.85, "above",
        "mean |r| between scales corrected for attenuation. Past .85 two scales do not discriminate (Kline 2011; "
        "Henseler et al. 2015). People are at .20 on the IPIP-50, .32 on the BFI-44 and .71 on the SD3",
    ),
    "reading": Threshold(
        109, 170, "above",
        "perplexity a word of neutral text behind a prompt, without a control. On newspaper prose models that see the "
        "two words before are at 109, those that see the one before at 170 (Jurafsky & Martin, Speech and Language "
        "Processing, 3rd ed., ch. 3, 20,000 words): a model past that does not read its prompts. SmolLM2-135M is at "
        "61, Gemma 3 270M at 45, and at 308 without the token that its texts began with",
    ),
    "perplexity": Threshold(
        2.0, None, "above",
        "of neutral text under the edits, over that without: past 2 the model is as surprised as by one bit a token "
        "more. The same limit holds where a strength is chosen",
    ),
    "split_half": Threshold(
        0.70, 0.30, "below",
        "target x trait matrix from either half of the items, Spearman-Brown; the first limit as alpha. Below .30 the "
        "halves share less than a tenth of their variance: the shifts belong to the items, not to the traits",
    ),
}  # fmt: skip

BEGINNING = Limit(
    1.25, "perplexity a token of neutral text without a first token over that with it, from which on the token is put "
    "in front of every prompt: 5.7 for Gemma 3 270M, which was trained so, and at most 1.05 for SmolLM2, which was not",
)  # fmt: skip
"""When a first token that a tokenizer leaves out is written all the same."""

JUDGES: dict[str, Threshold] = {
    "verdict_mass": Threshold(
        0.80, 0.25, "below",
        "probability of all options that a judge was given: below .80 some of what it would say is no verdict, below "
        ".25 the verdict is missing",
    ),
    "agreement": Threshold(
        0.60, 0.40, "below",
        "ICC(2,1) or ordinal alpha of judges. Below .40 agreement is poor, from .60 on good (Cicchetti 1994)",
    ),
    "score_spread": Threshold(
        0.05, 0.02, "below",
        "SD over texts of high and low pole, share of the range: a quarter and a tenth of a point of 0 to 5",
    ),
    "length_preference": Threshold(
        0.05, 0.10, "above",
        "share of the range, absolute, for a text twice as long, and only where the interval excludes 0: a quarter and "
        "half a point of 0 to 5",
    ),
    "position_preference": Threshold(
        0.10, 0.20, "above",
        "share of verdicts for the first text minus one half, absolute, and only where the interval excludes 0",
    ),
    "self_preference": Threshold(
        0.05, 0.10, "above", "share of the range, absolute, and only where the interval excludes 0; as for length"
    ),
    "pole_auc": Threshold(
        0.90, 0.70, "below",
        "AUC of texts of the high over texts of the low pole that were written to be clear: below .70 a judge tells "
        "few of them apart. An interval that reaches .50 is past the second limit too",
    ),
    "direction": Threshold(
        0.10, 0.20, "above",
        "mean difference of a text's ratings on the scale and on the scale turned round, share of the range: half a "
        "point and a point of 0 to 5",
    ),
    "injection": Threshold(
        0.05, 0.10, "above",
        "share of the range, towards the number that a text asks for, and only where the interval excludes 0; as for "
        "length",
    ),
    "abstention": Threshold(
        0.50, None, "below",
        "share of texts in which nothing can be seen of which a judge says so: such texts have a status of their own "
        "before a judge is asked, so that this alone forbids nothing",
    ),
    "coverage": Threshold(0.95, 0.75, "below", "share of texts with a rating; limits as for answers without one"),
}  # fmt: skip
"""Criteria of those who score texts, as `THRESHOLDS` holds those of answers."""

TEXTS: dict[str, Limit] = {
    "distinct_runs": Limit(
        0.40, "share of distinct runs of four words, below it a text repeats itself: prose of a few hundred words is "
        "above .95, a paragraph said twice is above .5",
    ),
    "compression": Limit(
        6.0, "bytes over bytes that zlib leaves, above it a text repeats itself: prose of this length is at 2, "
        "the same paragraph twice below 4",
    ),
    "same_sentence": Limit(4, "times that one sentence of two words or more stands in a text half of which it makes"),
    "other_script": Limit(0.30, "share of the letters outside the Latin script: quoting a name stays far below"),
    "function_words": Limit(
        0.15, "share of the words that are frequent function words of one other language: a third to a half in prose "
        "of that language, at most .12 in the open dialogues, where those that are words of English too count as well",
    ),
    "no_english": Limit(
        0.10, "share of frequent English function words below which thirty words of prose are not English, whichever "
        "language they are; the replies of the open dialogues have .28 at the least and .53 in the median",
    ),
}  # fmt: skip
"""What `traitbench.judges.texts` asks of a written text."""


def judge(name: str, value: float | None) -> tuple[Level, float] | None:
    """Judge a value by its criterion: the level and the limit that it is past; None where nothing speaks against it."""
    threshold = THRESHOLDS[name] if name in THRESHOLDS else JUDGES[name]
    if value is None:
        return None
    levels: tuple[tuple[Level, float | None], ...] = (
        ("not interpretable", threshold.bad),
        ("caution", threshold.caution),
    )
    for level, limit in levels:
        if limit is not None and (value < limit if threshold.side == "below" else value >= limit):
            return level, limit
    return None
