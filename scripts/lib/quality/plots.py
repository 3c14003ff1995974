"""The table as bars, and the networks that change as lines over time, in SVG."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from conditions import BLACKOUT_AT, BLACKOUT_LENGTH, DROP_AT, RISE_AT  # noqa: E402
from session import SETTLE  # noqa: E402

# Text stays text, and the same figures give the same file.
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "trill", "font.size": 9, "axes.titlesize": "medium", "axes.spines.top": False, "axes.spines.right": False})
ENGINES = (("trill", "Trill", "#0b6e4f"), ("chromium", "Chromium", "#c1666b"))

BARS = [
    ("speech", "speech, PESQ (1 to 4.6)", lambda of: of["audio"]["pesq"]),
    ("delay", "mouth to ear, ms", lambda of: of["audio"]["delay_ms"]),
    ("pictures", "pictures a second", lambda of: of["video"]["fps"]),
    ("frozen", "frozen, % of the time", lambda of: of["video"]["frozen_percent"]),
]
# name of the condition: when its network changes, in seconds since the first packet
CHANGES = {"drop": (DROP_AT, RISE_AT), "blackout": (BLACKOUT_AT, BLACKOUT_AT + BLACKOUT_LENGTH)}


def write(results, folder):
    conditions = results["conditions"]
    figure, axes = plt.subplots(len(BARS), 1, figsize=(9, 10), sharex=True, layout="constrained")
    for axis, (_, title, read) in zip(axes, BARS):
        for shift, (engine, label, color) in zip((-0.2, 0.2), ENGINES):
            values = [read(of[engine]) if "audio" in of.get(engine, {}) else None for of in conditions.values()]
            places = [n + shift for n, value in enumerate(values) if value is not None]
            axis.bar(places, [value for value in values if value is not None], 0.38, color=color, label=label)
        axis.set_title(title, loc="left")
        axis.set_xticks(range(len(conditions)), [of["title"] for of in conditions.values()], rotation=40, ha="right")
    axes[0].set_ylim(bottom=1)
    axes[0].legend(frameon=False, loc="upper right", ncols=2)
    save(figure, folder / "quality.svg")

    changing = [name for name in CHANGES if name in conditions]
    if not changing:
        return
    figure, axes = plt.subplots(len(changing), 2, figsize=(9, 2.6 * len(changing)), squeeze=False, layout="constrained")
    for row, name in zip(axes, changing):
        of = conditions[name]
        lines = (("received video, kbit/s", lambda found: found["video_kbps_each_second"]),
                 ("pictures in each second", lambda found: found["video"]["pictures_each_second"]))  # fmt: skip
        for axis, (title, read) in zip(row, lines):
            for engine, label, color in ENGINES:
                if "audio" in of.get(engine, {}):
                    values = read(of[engine])
                    axis.plot([n + 0.5 for n in range(len(values))], values, color=color, label=label)
            for change in CHANGES[name]:
                axis.axvline(change - SETTLE, color="#999999", linestyle=":")
            axis.set_title(f"{of['title']}: {title}", loc="left")
            axis.set_ylim(bottom=0)
    axes[0][0].legend(frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    save(figure, folder / "quality-over-time.svg")


def save(figure, path):
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
