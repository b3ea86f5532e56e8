# %% [markdown]
# # Which pages of a live process are hot?
#
# Draws the counters of all pages of a process that runs in vmmload: a row for each region of 2 MiB, a column for each of
# its 512 pages of 4 KiB, the colour is the number of epochs in which the page was written.
#
#     python heatmap.py PID heat.png [SECONDS]
#
# With SECONDS, only what happens from now on, for so long, is shown. In a notebook, run the cells one after the other.

# %%
import sys
import time
from typing import List, Optional

import matplotlib

if __name__ == "__main__":
    matplotlib.use("Agg")  # No window: a file.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

import vmmload


# %% The counters: since the start of the process, or of a while from now on.
def observe(consumer: vmmload.Consumer, seconds: Optional[float] = None) -> vmmload.HeatMap:
    heat = consumer.heat()
    if seconds is not None:
        time.sleep(seconds)
        heat = consumer.heat() - heat
    return heat.of_kind(vmmload.Kind.WRITE)


# %% What lies in each region: the mapping with the hottest page.
def names(heat: vmmload.HeatMap, mappings: vmmload.Mappings) -> List[str]:
    hottest = heat.page_addresses[np.arange(len(heat)), heat.counts.argmax(axis=1)]
    found = [mappings.at(int(addr)) for addr in hottest]
    return [mapping.name.rsplit("/", 1)[-1] if mapping else "" for mapping in found]


# %% Regions x pages, with logarithmic colours: hot pages are written a thousand times as often as others.
def draw(consumer: vmmload.Consumer, heat: vmmload.HeatMap) -> Figure:
    counts = np.ma.masked_equal(heat.counts, 0)
    labels = [f"{addr:#x} {name}" for addr, name in zip(heat.addresses.tolist(), names(heat, consumer.mappings()))]
    figure, axes = plt.subplots(figsize=(12, 2 + 0.18 * len(heat)), layout="constrained")
    norm = LogNorm(vmin=1, vmax=max(2, int(heat.counts.max(initial=0))))
    image = axes.imshow(counts, aspect="auto", interpolation="none", norm=norm, cmap="inferno")
    axes.set_facecolor("#e8e8e8")
    axes.set_yticks(range(len(heat)), labels, family="monospace", fontsize=7)
    axes.set_xticks(range(0, 513, 64))
    axes.set_xlabel("page of the region")
    axes.set_title(f"process {consumer.pid}: {np.count_nonzero(heat.counts):,} pages written, {heat.total:,} events")
    figure.colorbar(image, ax=axes, label="epochs in which the page was written")
    return figure


# %%
if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python heatmap.py PID FILE.png [SECONDS] (vmmload ls shows the PIDs)")
    try:
        with vmmload.attach(int(sys.argv[1])) as process:
            observed = observe(process, float(sys.argv[3]) if len(sys.argv) == 4 else None)
            draw(process, observed).savefig(sys.argv[2], dpi=120)
    except vmmload.Error as error:
        sys.exit(f"heatmap: {error}")
    print(f"{sys.argv[2]}: done")
