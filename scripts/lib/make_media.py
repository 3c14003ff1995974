"""Makes what the demo's two people say and show: speech by espeak-ng, and a moving picture with natural detail.

    make_media.py FOLDER

Writes alice.wav, alice.y4m, bob.wav, bob.y4m. The same bytes each time.
"""

import pathlib
import subprocess
import sys

import numpy as np

WIDTH, HEIGHT, FPS, SECONDS = 640, 360, 30, 6

PEOPLE = {
    "alice": dict(
        voice="en-us+f3",
        says="Hello Bob, this is Alice. The birch canoe slid on the smooth planks. Glue the sheet to the dark blue "
        "background. It is easy to tell the depth of a well. These days a chicken leg is a rare dish.",
        seed=1,
        tint=(104, 152),
    ),
    "bob": dict(
        voice="en-gb+m3",
        says="Hi Alice, Bob here. Rice is often served in round bowls. The juice of lemons makes fine punch. The box "
        "was thrown beside the parked truck. Four hours of steady work faced us.",
        seed=2,
        tint=(150, 108),
    ),
}


def texture(rng, width, height):
    """Noise whose power falls with frequency as in photographs (about 1/f in amplitude), from 0 to 1."""
    fy = np.fft.fftfreq(height)[:, None]
    fx = np.fft.rfftfreq(width)[None, :]
    f = np.hypot(fx, fy)
    f[0, 0] = 1
    spectrum = (rng.standard_normal(f.shape) + 1j * rng.standard_normal(f.shape)) / f**1.2
    spectrum[0, 0] = 0
    plane = np.fft.irfft2(spectrum, (height, width))
    low, high = np.percentile(plane, (1, 99))
    return np.clip((plane - low) / (high - low), 0, 1)


def picture(path, seed, tint):
    """A camera that sways over a landscape, with a person-sized shape that moves before it."""
    rng = np.random.default_rng(seed)
    big_w, big_h = WIDTH + 160, HEIGHT + 120
    back = texture(rng, big_w, big_h) * 170 + 40
    hue = texture(rng, big_w, big_h)
    face = texture(rng, WIDTH, HEIGHT) * 110 + 110
    yy, xx = np.mgrid[0:HEIGHT, 0:WIDTH]
    count = FPS * SECONDS
    with open(path, "wb") as out:
        out.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for n in range(count):
            # Whole turns in the loop, so that it has no seam.
            turn = 2 * np.pi * n / count
            x0 = int(80 + 70 * np.sin(turn))
            y0 = int(60 + 50 * np.sin(2 * turn + 0.5))
            y = back[y0 : y0 + HEIGHT, x0 : x0 + WIDTH].copy()
            h = hue[y0 : y0 + HEIGHT, x0 : x0 + WIDTH]
            cx = WIDTH / 2 + WIDTH / 6 * np.sin(2 * turn + seed)
            cy = HEIGHT / 2 + HEIGHT / 14 * np.cos(3 * turn)
            inside = ((xx - cx) / (WIDTH / 7)) ** 2 + ((yy - cy) / (HEIGHT / 3)) ** 2 < 1
            y[inside] = np.roll(face, (int(cy - HEIGHT / 2), int(cx - WIDTH / 2)), (0, 1))[inside]
            u = tint[0] + (h - 0.5) * 40 + np.where(inside, -12, 0)
            v = tint[1] - (h - 0.5) * 40 + np.where(inside, 20, 0)
            out.write(b"FRAME\n")
            out.write(np.clip(y, 16, 235).astype(np.uint8).tobytes())
            for plane in (u, v):
                half = plane.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3))
                out.write(np.clip(half, 16, 240).astype(np.uint8).tobytes())


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, person in PEOPLE.items():
        subprocess.run(
            ["espeak-ng", "-v", person["voice"], "-s", "150", "-w", folder / f"{name}.wav", person["says"]], check=True
        )
        picture(folder / f"{name}.y4m", person["seed"], person["tint"])


if __name__ == "__main__":
    main()
