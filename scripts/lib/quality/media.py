"""What is said and shown: the demo's speech and moving picture, with the picture's number written into it.

The number stands in a strip of black and white squares at the top, so that a picture is known however badly it is seen.
"""

import pathlib
import subprocess
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))
import make_media  # noqa: E402

WIDTH, HEIGHT, FPS = make_media.WIDTH, make_media.HEIGHT, make_media.FPS
COUNT = make_media.FPS * make_media.SECONDS
CELLS, STRIP = 16, 24
NUMBER_BITS = 8
# What is not a picture of ours does not pass for one: the other half of the cells are a function of the number.
CHECK = 0b10110101
DARK, LIGHT = 35, 220


def use(width, height):
    """Pictures of another size, before any are made or measured."""
    global WIDTH, HEIGHT
    WIDTH, HEIGHT = make_media.WIDTH, make_media.HEIGHT = width, height


def cells(number):
    check = (number * 37 ^ CHECK) & 0xFF
    return [(number >> bit) & 1 for bit in range(NUMBER_BITS)] + [(check >> bit) & 1 for bit in range(CELLS - NUMBER_BITS)]


def number_of(luma):
    """Which picture of the clip it is, or None."""
    height, width = luma.shape
    rows = slice(int(height * STRIP / HEIGHT * 0.3), max(1, int(height * STRIP / HEIGHT * 0.7)))
    side = width / CELLS
    columns = [slice(int(side * (n + 0.3)), max(int(side * (n + 0.3)) + 1, int(side * (n + 0.7)))) for n in range(CELLS)]
    bits = [int(luma[rows, column].mean() > (DARK + LIGHT) / 2) for column in columns]
    number = sum(bit << n for n, bit in enumerate(bits[:NUMBER_BITS]))
    return number if number < COUNT and bits == cells(number) else None


def make(folder):
    """speech.wav (48 kHz mono) and clip.y4m in the folder, once."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    speech, clip = folder / "speech.wav", folder / "clip.y4m"
    if clip.exists():
        return speech, clip
    alice, spoken, plain = make_media.PEOPLE["alice"], folder / "spoken.wav", folder / "plain.y4m"
    subprocess.run(["espeak-ng", "-v", alice["voice"], "-s", "150", "-w", spoken, alice["says"]], check=True)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", spoken, "-ar", "48000", "-ac", "1", speech], check=True)
    make_media.picture(plain, alice["seed"], alice["tint"])
    with open(plain, "rb") as source, open(folder / "clip.part", "wb") as out:
        out.write(source.readline())
        for number in range(COUNT):
            out.write(source.readline())
            luma = np.frombuffer(source.read(WIDTH * HEIGHT), np.uint8).reshape(HEIGHT, WIDTH).copy()
            strip = np.repeat([LIGHT if bit else DARK for bit in cells(number)], WIDTH // CELLS)
            luma[:STRIP] = strip
            out.write(luma.tobytes())
            out.write(source.read(WIDTH * HEIGHT // 2))
    spoken.unlink()
    plain.unlink()
    (folder / "clip.part").rename(clip)
    return speech, clip
