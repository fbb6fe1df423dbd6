"""Chinese and English: every phrase that people read in results, and what says them.

One table, in a file for each room that speaks: ``terms`` are shared. A phrase is kept apart from
its language until it is shown, so each sentence is built once:

    say = Language("zh")
    say("validation_pairs", n=400)          "400 对验证样本"
    note = phrase("other_seeds", name=...)  in a comparison, which has no language; later say(note)

Columns of csv files, names of files and messages of errors are English.
"""

from .say import CHINESE, ENGLISH, LANGUAGES, Language, Phrase, known, phrase, system_language
from .table import CODES, PHRASES

__all__ = [
    "CHINESE",
    "CODES",
    "ENGLISH",
    "LANGUAGES",
    "PHRASES",
    "Language",
    "Phrase",
    "known",
    "phrase",
    "system_language",
]
