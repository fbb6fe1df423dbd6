"""Generate pairs with a known answer: the class depends on text and picture, and the highest
possible accuracies from either and from both are known.

Three moods of the picture and three voices of the text are drawn independently of each other.
Together they decide the class, except for a share NOISE of the pairs, whose label is planted wrong:

    voice (share) \\ mood (share)    bright (.50)  gloomy (.25)  calm (.25)
    literal  (.50)  as pictured      positive      negative      neutral
    ironic   (.25)  the opposite     negative      positive      neutral
    quiet    (.25)  wants peace      neutral       negative      positive

CEILINGS are the highest accuracies in the long run, even with unlimited training data; "sum" is the
best argmax over the classes of f(text) + g(image), for any f and g. A higher one needs an
interaction: here a voice reverses the meaning of the picture. The tables are chosen so that the sum
of highest likelihood, which training looks for, is also that of highest accuracy (its closest
decision by .58 of log-odds). Sentences and drawings vary beyond voice and mood, and no sentence
occurs twice: nothing can be learned by heart.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product
from pathlib import Path
from random import Random

import numpy as np

from . import pictures

CLASSES = ("negative", "neutral", "positive")
VOICES = {"literal": 0.5, "ironic": 0.25, "quiet": 0.25}
MOODS = {"bright": 0.5, "gloomy": 0.25, "calm": 0.25}
MEANING = {
    "literal": {"bright": "positive", "gloomy": "negative", "calm": "neutral"},
    "ironic": {"bright": "negative", "gloomy": "positive", "calm": "neutral"},
    "quiet": {"bright": "neutral", "gloomy": "negative", "calm": "positive"},
}
NOISE = 0.06

CEILINGS = {"text": 0.485, "image": 0.59875, "sum": 0.82625, "joint": 0.94}
# The accuracies of the best joint model if its images, or its texts, come from other pairs.
SHUFFLED = {"images": 0.37125, "texts": 0.485}
# The shares of answers that each decides, see common/comparison/decided.py, in a model that says the
# log-probabilities: the text for bright pictures that are not meant literally, the image where it is
# gloomy or calm, their interaction where ironic meets gloomy and quiet meets calm. Without an
# interaction no model gives the best answer there too (see "sum"): so it decides .125 or more.
DECIDED = {"text": 0.25, "image": 0.375, "interaction": 0.125}

# Each voice has characters of its own, some in every saying: a small model learns them from few
# pairs.
SAYINGS = {
    "literal": ["心情如图", "如图一样的心情", "正如照片这样", "真如画面那样", "感受和图一样"],
    "ironic": ["心情正好相反", "照片要反着看", "画面全是反话", "感受和图相反", "图要反过来懂"],
    "quiet": ["心里只求安静", "静静看图就好", "画面安静才好", "只要清静的感受", "静一静的心情"],
}
TAGS = {
    "literal": ["真的", "一点没错", "就这样", "一样一样的"],
    "ironic": ["才怪", "反话而已", "你懂的", "哈哈反了"],
    "quiet": ["嘘", "别吵", "清静", "安安静静"],
}
TIMES = ["今天", "昨天", "周末", "早上", "傍晚", "午后", "放学后", "下班路上", "假期里", "刚才"]
PLACES = ["在公园", "在河边", "在楼下", "在车站", "在海边", "在山上", "在街角", "在窗前", "在桥头"]
ENDINGS = ["", "。", "！", "…", "～", "!!"]


def joint() -> np.ndarray:
    """Return P(voice, mood, class), (3, 3, 3), in the order of VOICES, MOODS and CLASSES."""
    table = np.full((len(VOICES), len(MOODS), len(CLASSES)), NOISE / (len(CLASSES) - 1))
    for (i, voice), (j, mood) in product(enumerate(VOICES), enumerate(MOODS)):
        table[i, j, CLASSES.index(MEANING[voice][mood])] = 1 - NOISE
    shares = np.outer(list(VOICES.values()), list(MOODS.values()))
    return shares[:, :, None] * table


def latents(count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Return ``count`` triples (voice, mood, class) in random order, as often as they are probable."""
    ends = np.rint(np.cumsum(joint().ravel()) * count).astype(int)
    combinations = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0)).tolist()
    Random(seed).shuffle(combinations)
    names = list(product(VOICES, MOODS, CLASSES))
    return (names[k] for k in combinations)


def sentence(voice: str, random: Random) -> str:
    """Return a sentence: time and place, and before or after it a saying of the voice."""
    scene = random.choice(TIMES) + random.choice(PLACES)
    said = f"{random.choice(SAYINGS[voice])}，{random.choice(TAGS[voice])}"
    parts = [scene, said] if random.random() < 0.5 else [said, scene]
    return "，".join(parts) + random.choice(ENDINGS)


def write_pairs(folder: Path, count: int, seed: int) -> None:
    """Write ``train.txt`` and ``data/<guid>.txt`` and ``.jpg``, the same for the same seed (pictures:
    and Pillow). Every fourth text is in GB18030, like many in real collections."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    random = Random(f"{seed} pairs")
    used = set()
    lines = ["guid,tag"]
    for guid, (voice, mood, label) in enumerate(latents(count, seed), start=1):
        while (text := sentence(voice, random)) in used:
            pass
        used.add(text)
        encoding = "utf-8" if guid % 4 else "gb18030"
        (folder / "data" / f"{guid}.txt").write_bytes(text.encode(encoding))
        pictures.draw(mood, random).save(folder / "data" / f"{guid}.jpg", quality=90)
        lines.append(f"{guid},{label}")
    (folder / "train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def characters() -> str:
    """Return all characters of the sentences, for vocabularies."""
    lists = [*SAYINGS.values(), *TAGS.values(), TIMES, PLACES, ENDINGS]
    return "，" + "".join(chain.from_iterable(lists))
