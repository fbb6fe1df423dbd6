"""The results as a report for a thesis: report.md and report.tex, figures, references and numbers.

``write.write_report`` writes it, in one language. report.jinja has what both texts say, section by
section; markdown.jinja and latex.jinja give it their form.
"""

from .write import write_report

__all__ = ["write_report"]
