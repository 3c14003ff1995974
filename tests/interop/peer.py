"""A participant on the PyPI package `livekit`, for interop tests.

    peer.py URL TOKEN [--tone HZ] [--no-audio] [--no-video] [--size WxH]

Joins with the SDK's defaults, publishes a tone and a moving picture, subscribes to everything. Prints one JSON object a
line for what happens, and obeys JSON objects a line on its standard input; see README.md in this folder.
"""

import argparse
import asyncio
import json
import math
import sys
import time

import numpy as np
from livekit import rtc

SAMPLE_RATE = 48_000
FRAME_SAMPLES = SAMPLE_RATE // 100
FPS = 15


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


async def play_tone(source, hz):
    """Real time, in 10 ms frames, at a fifth of full scale."""
    phase = 0.0
    step = 2 * math.pi * hz / SAMPLE_RATE
    while True:
        wave = np.sin(phase + step * np.arange(FRAME_SAMPLES)) * 0.2 * 32767
        phase = (phase + step * FRAME_SAMPLES) % (2 * math.pi)
        frame = rtc.AudioFrame(wave.astype(np.int16).tobytes(), SAMPLE_RATE, 1, FRAME_SAMPLES)
        await source.capture_frame(frame)


async def play_picture(source, width, height):
    """A bright bar that moves over a gradient."""
    gradient = np.linspace(0, 160, width, dtype=np.uint8)
    frame_number = 0
    start = time.monotonic()
    while True:
        picture = np.empty((height, width, 4), dtype=np.uint8)
        picture[..., 0] = gradient
        picture[..., 1] = gradient[::-1]
        picture[..., 2] = 80
        picture[..., 3] = 255
        left = (frame_number * 8) % width
        picture[:, left : left + width // 8] = 255
        source.capture_frame(rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, picture.tobytes()))
        frame_number += 1
        await asyncio.sleep(max(0, start + frame_number / FPS - time.monotonic()))


async def hear(track, participant):
    """Twice a second: how loud it is (dBFS) and its strongest frequency."""
    window = np.zeros(0, dtype=np.float64)
    async for event in rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1):
        window = np.append(window, np.frombuffer(event.frame.data, dtype=np.int16) / 32768)
        if len(window) < SAMPLE_RATE // 2:
            continue
        level = 10 * math.log10(max(float(np.mean(window**2)), 1e-12))
        spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window))))
        hz = float(np.argmax(spectrum)) * SAMPLE_RATE / len(window)
        tell("audio", participant=participant, level=round(level, 1), hz=round(hz, 1))
        window = window[:0]


async def see(track, participant):
    """Once a second: how many frames came, and how large they are."""
    frames = 0
    since = time.monotonic()
    async for event in rtc.VideoStream(track):
        frames += 1
        if time.monotonic() - since >= 1:
            tell("video", participant=participant, frames=frames, width=event.frame.width, height=event.frame.height)
            frames, since = 0, time.monotonic()


class Peer:
    def __init__(self, arguments):
        self.arguments = arguments
        self.room = rtc.Room()
        self.tasks = []
        self.ended = asyncio.Event()
        on = self.room.on
        on("participant_connected", lambda p: tell("participant_joined", participant=p.identity))
        on("participant_disconnected", lambda p: tell("participant_left", participant=p.identity))
        on("track_published", lambda pub, p: tell("track_published", participant=p.identity, kind=kind(pub), source=source(pub)))
        on("track_unpublished", lambda pub, p: tell("track_unpublished", participant=p.identity, kind=kind(pub)))
        on("track_unsubscribed", lambda _, pub, p: tell("track_unsubscribed", participant=p.identity, kind=kind(pub)))
        on("track_muted", lambda p, pub: tell("muted", participant=p.identity, kind=kind(pub)))
        on("track_unmuted", lambda p, pub: tell("unmuted", participant=p.identity, kind=kind(pub)))
        on("active_speakers_changed", lambda speakers: tell("speakers", participants=[p.identity for p in speakers]))
        on("participant_metadata_changed", lambda p, *_: tell("metadata", participant=p.identity, metadata=p.metadata))
        on("reconnecting", lambda: tell("reconnecting"))
        on("reconnected", lambda: tell("reconnected"))
        on("track_subscribed", self.track_subscribed)
        on("data_received", self.data_received)
        on("disconnected", self.disconnected)

    def track_subscribed(self, track, publication, participant):
        tell("track_subscribed", participant=participant.identity, kind=kind(publication))
        listen = hear if track.kind == rtc.TrackKind.KIND_AUDIO else see
        self.tasks.append(asyncio.ensure_future(listen(track, participant.identity)))

    def data_received(self, packet):
        sender = packet.participant.identity if packet.participant else None
        reliable = packet.kind == rtc.DataPacketKind.KIND_RELIABLE
        tell("data", participant=sender, topic=packet.topic or "", text=packet.data.decode(), reliable=reliable)

    def disconnected(self, reason):
        tell("disconnected", reason=rtc.DisconnectReason.Name(reason))
        self.ended.set()

    async def run(self):
        arguments = self.arguments
        await self.room.connect(arguments.url, arguments.token)
        others = sorted(p.identity for p in self.room.remote_participants.values())
        tell("joined", identity=self.room.local_participant.identity, others=others)
        self.publications = {}
        if not arguments.no_audio:
            await self.publish_audio()
        if not arguments.no_video:
            await self.publish_video()
        tell("published")
        commands = asyncio.ensure_future(self.obey())
        await self.ended.wait()
        commands.cancel()

    async def publish_audio(self):
        source = rtc.AudioSource(SAMPLE_RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("tone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        self.publications["audio"] = await self.room.local_participant.publish_track(track, options)
        self.tasks.append(asyncio.ensure_future(play_tone(source, self.arguments.tone)))

    async def publish_video(self):
        width, height = (int(n) for n in self.arguments.size.split("x"))
        source = rtc.VideoSource(width, height)
        track = rtc.LocalVideoTrack.create_video_track("picture", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA)
        self.publications["video"] = await self.room.local_participant.publish_track(track, options)
        self.tasks.append(asyncio.ensure_future(play_picture(source, width, height)))

    async def obey(self):
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            await self.act(command)
        await self.act({"do": "leave"})

    async def act(self, command):
        local = self.room.local_participant
        match command["do"]:
            case "mute":
                track = self.publications[command["kind"]].track
                track.mute() if command["muted"] else track.unmute()
            case "unpublish":
                await local.unpublish_track(self.publications.pop(command["kind"]).sid)
            case "publish":
                await (self.publish_audio() if command["kind"] == "audio" else self.publish_video())
            case "data":
                await local.publish_data(
                    command["text"],
                    reliable=command.get("reliable", True),
                    topic=command.get("topic", ""),
                    destination_identities=command.get("to", []),
                )
            case "metadata":
                await local.set_metadata(command["metadata"])
            case "leave":
                await self.room.disconnect()
                tell("left")
                self.ended.set()
            case unknown:
                raise ValueError(f"no such command: {unknown}")


def kind(publication):
    return "audio" if publication.kind == rtc.TrackKind.KIND_AUDIO else "video"


def source(publication):
    return rtc.TrackSource.Name(publication.source).removeprefix("SOURCE_").lower()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("--tone", type=float, default=440)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--no-audio", action="store_true")
    parser.add_argument("--no-video", action="store_true")
    arguments = parser.parse_args()

    async def run():
        # Made here: the SDK takes the event loop that runs.
        await Peer(arguments).run()

    try:
        asyncio.run(run())
    except Exception as error:  # told, so that the test can print why
        tell("failed", error=f"{type(error).__name__}: {error}")
        sys.exit(1)


main()
