"""What the engines' own statistics tell of a run: bitrates and repairs, inside what is measured."""

import json

import numpy as np


def rates(folder, window, engine):
    """Received payloads in kbit/s, and those of video in each second, and counters at the end."""
    trace = json.loads((folder / "trace.json").read_text())
    read = dict(trill=of_trill, chromium=of_chromium)[engine]
    times = [one["at_us"] / 1e6 for one in trace["statistics"]]
    audio, video, counters = zip(*map(read, trace["statistics"]))
    # Statistics are taken once a second, at any time within it.
    seconds = window[0] + np.arange(round(window[1] - window[0]) + 1)
    audio, video = (np.interp(seconds, times, bytes) * 8 / 1000 for bytes in (audio, video))
    length = window[1] - window[0]
    return dict(
        audio_kbps=round((audio[-1] - audio[0]) / length, 1),
        video_kbps=round((video[-1] - video[0]) / length),
        video_kbps_each_second=[round(kbps) for kbps in np.diff(video)],
        counters=counters[-1],
    )


def of_trill(one):
    """(audio bytes, video bytes, counters)"""
    tracks = one["receiver"]["received"]
    audio = next((track["audio"] for track in tracks if track["audio"]), None) or {}
    video = next((track["video"] for track in tracks if track["video"]), None) or {}
    sent = next((track["video"] for track in one["sender"]["sent"] if track["video"]), None) or {}
    counters = dict(audio=audio, video=video, sent=sent, path=one["sender"]["publisher"])
    return audio.get("bytes", 0), video.get("bytes", 0), counters


def of_chromium(one):
    of = {report["kind"]: report for report in one["receiver"] if report["type"] == "inbound-rtp"}
    audio, video = of.get("audio", {}), of.get("video", {})
    names = ("packetsReceived", "packetsLost", "nackCount", "pliCount", "freezeCount", "totalFreezesDuration", "framesDecoded",
             "jitterBufferDelay", "jitterBufferEmittedCount", "concealedSamples", "totalSamplesReceived", "fecPacketsReceived",
             "keyFramesDecoded")  # fmt: skip
    counters = {kind: {name: report[name] for name in names if name in report} for kind, report in of.items()}
    return audio.get("bytesReceived", 0), video.get("bytesReceived", 0), counters
