"""sensitivity.png: macro-F1 of each model at several learning rates."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ..comparison.wording import metric_title, order_over_rates
from ..metrics import MAIN
from ..runs.labels import short_rate
from ..words import phrase
from .shown import Shown, clean, fit, legend_of_models, new_figure


def sensitivity(shown: Shown) -> Figure | None:
    """Draw a line per model over the learning rates, with the interval at each.

    The models stand a little beside each other, so that their intervals can be told apart.
    """
    models = [model for model in shown.judged if None not in shown.group.judged(model).by_rate]
    if not any(len(shown.group.judged(model).by_rate) > 1 for model in models):
        return None
    say = shown.say
    method = [phrase("about_sensitivity"), order_over_rates(shown.group)]
    figure, body = new_figure(shown, say("title_sensitivity"), method)
    axes = body.subplots()
    by_rate = [shown.group.judged(model).by_rate for model in models]
    rates = sorted({rate for own in by_rate for rate in own})
    for place, (model, own) in enumerate(zip(models, by_rate, strict=True)):
        look, beside = shown.looks[model.name], 0.4 * ((place + 0.5) / len(models) - 0.5)
        places = [rates.index(rate) + beside for rate in sorted(own)]
        estimates = [own[rate] for rate in sorted(own)]
        low, high = ([getattr(each, end) for each in estimates] for end in ("low", "high"))
        axes.vlines(places, low, high, color=look.colour, linewidth=1, alpha=0.6)
        axes.plot(places, [each.centre for each in estimates], **look.line())
    axes.set_xticks(range(len(rates)), [short_rate(rate) for rate in rates])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlim=(-0.4, len(rates) - 0.6))
    axes.set(xlabel=say("axis_rate"), ylabel=say(metric_title(MAIN)))
    clean(axes, "y")
    legend_of_models(body, shown, models, line=True)
    return fit(figure, [axes], 2.6)
