"""The networks of the matrix, as `trill impair --file` takes them."""

# One way on each leg, in milliseconds: two ends of one country with the server between them.
DELAY_MS = 20
# When a bandwidth or a blackout changes things, in seconds since the first packet; a run that measures 20 s sees it all.
DROP_AT, RISE_AT = 9, 17
BLACKOUT_AT, BLACKOUT_LENGTH = 12, 3


def constant(**profile):
    return dict(steps=[dict(at_ms=0, delay_ms=DELAY_MS, **profile)])


def bottleneck(*steps):
    """(seconds, kbit/s)..."""
    return dict(steps=[dict(at_ms=at * 1000, delay_ms=DELAY_MS, rate_kbps=rate) for at, rate in steps])


def blackout():
    return dict(constant(), blackouts=[dict(at_ms=BLACKOUT_AT * 1000, length_ms=BLACKOUT_LENGTH * 1000)])


# name: (title, what both directions of both legs do)
CONDITIONS = {
    "clean": ("clean", constant()),
    **{f"loss-{p}": (f"{p} % loss", constant(loss_percent=p)) for p in (1, 5, 10, 20, 30)},
    **{f"burst-{p}": (f"{p} % loss in bursts", constant(burst=dict(loss_percent=p, length=4))) for p in (1, 5, 10, 20, 30)},
    **{f"jitter-{ms}": (f"{ms} ms jitter", constant(jitter_ms=ms)) for ms in (30, 100)},
    "rate-300": ("300 kbit/s", bottleneck((0, 300))),
    "rate-1000": ("1 Mbit/s", bottleneck((0, 1000))),
    "drop": ("2 Mbit/s, 500 kbit/s, 1.5 Mbit/s", bottleneck((0, 2000), (DROP_AT, 500), (RISE_AT, 1500))),
    "blackout": ("nothing for 3 s", blackout()),
}


def toml(schedule):
    """A schedule for both directions as TOML: inline tables are the same as JSON but for the sign between name and value."""

    def value(of):
        if isinstance(of, dict):
            return "{ " + ", ".join(f"{name} = {value(inner)}" for name, inner in of.items()) + " }"
        if isinstance(of, list):
            return "[" + ", ".join(map(value, of)) + "]"
        return str(of)

    return "[both]\n" + "".join(f"{name} = {value(of)}\n" for name, of in schedule.items())
