"""The results as a report for a thesis: report.md and report.tex, figures, references and numbers.

``write.write_report`` writes it, in one language. ``content.py`` has what both texts say, section by
section; report.md.jinja and report.tex.jinja give it their form.
"""

from .write import write_report

__all__ = ["write_report"]
