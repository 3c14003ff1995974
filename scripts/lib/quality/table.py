"""The table: a row for each network, our figure and Chromium's side by side."""

COLUMNS = [
    ("speech, PESQ", lambda of: of["audio"]["pesq"], "{:.2f}"),
    ("mouth to ear, ms", lambda of: of["audio"]["delay_ms"], "{:.0f}"),
    ("pictures a second", lambda of: of["video"]["fps"], "{:.1f}"),
    ("frozen, %", lambda of: of["video"]["frozen_percent"], "{:.0f}"),
    ("picture, dB", lambda of: of["video"]["psnr_db"], "{:.1f}"),
    ("glass to glass, ms", lambda of: of["video"]["delay_ms"], "{:.0f}"),
    ("video, kbit/s", lambda of: of["video_kbps"], "{:.0f}"),
]


def figure(found, column):
    _, read, form = column
    if found is None or "failed" in found:
        return "failed" if found else "-"
    value = read(found)
    return "-" if value is None else form.format(value)


def line(found):
    if "failed" in found:
        return found["failed"]
    return ", ".join(f"{column[0]} {figure(found, column)}" for column in COLUMNS)


def markdown(results):
    about = results["about"]
    rows = [
        "| network | " + " | ".join(column[0] for column in COLUMNS) + " |",
        "| --- |" + " ---: |" * len(COLUMNS),
    ]
    for of in results["conditions"].values():
        cells = [f"{figure(of.get('trill'), column)} / {figure(of.get('chromium'), column)}" for column in COLUMNS]
        rows.append(f"| {of['title']} | " + " | ".join(cells) + " |")
    loads = [found["load"] for of in results["conditions"].values() for found in of.values() if isinstance(found, dict) and "load" in found]
    load = f"load average {min(loads):.1f} to {max(loads):.1f}" if loads else "no run finished"
    rows += [
        "",
        f"Trill / Chromium in each cell. `{about['command']}` on {about['date']}: {about['trill']}; {about['chromium']} with "
        f"livekit-client {about['livekit_client']}; {about['cpus']} cores of {about['cpu']}, {load}; {about['seconds']} s "
        f"measured in each run, seed {about['seed']}.",
        "",
    ]
    return "\n".join(rows)
