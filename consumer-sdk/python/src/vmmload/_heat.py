"""The counters of every page since the process started: as a snapshot, and as they are in shared memory."""

import ctypes
from typing import Optional

import numpy as np
import numpy.typing as npt

from . import _native
from ._events import PAGE_SIZE
from ._facts import Mapping
from ._handle import Handle, words_at
from ._native import lib
from ._words import Kind

#: Pages in a region of 2 MiB, the size of a huge page.
PAGES_PER_REGION = 512
#: The epoch of a page that is not watched at present: take it for written.
NOT_WATCHED = 0xFFFF_FFFF

#: One page and kind: what :meth:`HeatMap.pages` gives, ready for ``pandas.DataFrame``.
HEAT_DTYPE: "np.dtype[np.void]" = np.dtype([("addr", "<u8"), ("count", "<u4"), ("epoch", "<u4"), ("kind", "u1")])

_REGION_SHIFT = 21
_KIND_BITS = 3


def _addresses(keys: "npt.NDArray[np.uint64]") -> "npt.NDArray[np.uint64]":
    return (keys >> np.uint64(2)) << np.uint64(_REGION_SHIFT)


def _kinds(keys: "npt.NDArray[np.uint64]") -> "npt.NDArray[np.uint8]":
    return (keys & np.uint64(_KIND_BITS)).astype(np.uint8)


class HeatView:
    """The counters themselves, in the shared memory that the program's tracking goes on writing.

    Nothing is copied; all arrays are read-only, and change while they are looked at. Each keeps the segment mapped
    for as long as it lives, also after its consumer is closed and the process has ended. Regions that are touched
    for the first time later are not in it: ask for another view, which is cheap.
    """

    def __init__(self, handle: Handle) -> None:
        native = _native.HeatView()
        with handle.lock:
            lib.vmmload_heat_words(handle.pointer, ctypes.byref(native))
        self._regions = words_at(handle, native.regions, (native.used, 2))
        self._words = words_at(handle, native.cells, (native.used, PAGES_PER_REGION))

    def __len__(self) -> int:
        """Pairs of a region and a kind."""
        return len(self._words)

    @property
    def words(self) -> "npt.NDArray[np.uint64]":
        """(regions, 512): the count in the low, the epoch in the high 32 bits."""
        return self._words

    @property
    def counts(self) -> "npt.NDArray[np.uint32]":
        """(regions, 512): events of each page."""
        return self._halves()[:, :, 0]

    @property
    def epochs(self) -> "npt.NDArray[np.uint32]":
        """(regions, 512): epoch of each page's last event, or in which its contents were given back;
        :data:`NOT_WATCHED` where it is not watched at present."""
        return self._halves()[:, :, 1]

    def _halves(self) -> "npt.NDArray[np.uint32]":
        return self._words.view(np.uint32).reshape(len(self), PAGES_PER_REGION, 2)

    @property
    def keys(self) -> "npt.NDArray[np.uint64]":
        """(regions,): region and kind in one word."""
        return self._regions[:, 0]

    @property
    def region_epochs(self) -> "npt.NDArray[np.uint64]":
        """(regions,): last epoch of any event in the region."""
        return self._regions[:, 1]

    @property
    def addresses(self) -> "npt.NDArray[np.uint64]":
        """(regions,): first address of each region; computed, not shared."""
        return _addresses(self.keys)

    @property
    def kinds(self) -> "npt.NDArray[np.uint8]":
        """(regions,): :class:`Kind` of each region's events; computed, not shared."""
        return _kinds(self.keys)


class HeatMap:
    """A snapshot of the counters of every page, by 2 MiB region and kind, ordered by address and kind."""

    def __init__(
        self,
        keys: "npt.NDArray[np.uint64]",
        counts: "npt.NDArray[np.uint32]",
        epochs: "npt.NDArray[np.uint32]",
        process: Optional[object] = None,
    ) -> None:
        self._keys = keys
        self._process = process
        #: (regions,) first address of each region.
        self.addresses = _addresses(keys)
        #: (regions,) :class:`Kind` of each region's events, as numbers.
        self.kinds = _kinds(keys)
        #: (regions, 512) events of each page: the epochs in which it was seen touched so. Wraps at 2**32.
        self.counts = counts
        #: (regions, 512) epoch of each page's last event; see :attr:`HeatView.epochs`.
        self.epochs = epochs

    @classmethod
    def of_view(cls, view: HeatView, process: Optional[object] = None) -> "HeatMap":
        """Copies what a view shows."""
        keys = view.keys.copy()
        order = np.argsort(keys, kind="stable")
        # A later version of vmmload may know other kinds.
        order = order[_kinds(keys[order]) <= max(Kind)]
        # Whole words are copied, so that count and epoch of a page belong together.
        words = view.words[order]
        counts = words.astype(np.uint32)
        return cls(keys[order], counts, (words >> np.uint64(32)).astype(np.uint32), process)

    def __len__(self) -> int:
        """Pairs of a region and a kind."""
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<HeatMap: {len(self)} regions, {int(np.count_nonzero(self.counts))} pages, {self.total} events>"

    @property
    def total(self) -> int:
        """Events of all pages."""
        return int(self.counts.sum(dtype=np.uint64))

    @property
    def page_addresses(self) -> "npt.NDArray[np.uint64]":
        """(regions, 512): the address of each page."""
        pages = np.arange(PAGES_PER_REGION, dtype=np.uint64) * np.uint64(PAGE_SIZE)
        return self.addresses[:, np.newaxis] + pages

    def __sub__(self, earlier: "HeatMap") -> "HeatMap":
        """What happened since an earlier snapshot of the same process."""
        if not isinstance(earlier, HeatMap):
            return NotImplemented
        if earlier._process != self._process:
            raise ValueError(f"counts of {earlier._process} are no part of those of {self._process}")
        counts = self.counts.copy()
        known = np.isin(earlier._keys, self._keys)
        at = np.searchsorted(self._keys, earlier._keys[known])
        counts[at] -= earlier.counts[known]
        return HeatMap(self._keys, counts, self.epochs, self._process)

    def of(self, mapping: Mapping) -> "HeatMap":
        """The pages of one mapping: regions that it has a part in, where pages outside of it count nothing."""
        start, end = np.uint64(mapping.start), np.uint64(mapping.end)
        last = self.addresses + np.uint64((PAGES_PER_REGION - 1) * PAGE_SIZE)
        part = self._only((last >= start) & (self.addresses < end))
        pages = part.page_addresses
        outside = (pages < start) | (pages >= end)
        part.counts[outside] = 0
        part.epochs[outside] = 0
        return part

    def of_kind(self, kind: Kind) -> "HeatMap":
        """The regions of one kind of events."""
        return self._only(np.isin(self.kinds, [int(kind)]))

    def _only(self, regions: "npt.NDArray[np.bool_]") -> "HeatMap":
        return HeatMap(self._keys[regions], self.counts[regions], self.epochs[regions], self._process)

    def count(self, addr: int, kind: Optional[Kind] = None) -> int:
        """Events of the page that an address lies in, of one kind or of all."""
        rows = self.addresses == np.uint64(addr >> _REGION_SHIFT << _REGION_SHIFT)
        if kind is not None:
            rows &= self.kinds == int(kind)
        return int(self.counts[rows, addr // PAGE_SIZE % PAGES_PER_REGION].sum(dtype=np.uint64))

    def pages(self) -> "npt.NDArray[np.void]":
        """Every page with events, by address and kind: a structured array of :data:`HEAT_DTYPE`."""
        rows, pages = np.nonzero(self.counts)
        found = np.empty(len(rows), HEAT_DTYPE)
        found["addr"] = self.addresses[rows] + pages.astype(np.uint64) * np.uint64(PAGE_SIZE)
        found["count"] = self.counts[rows, pages]
        found["epoch"] = self.epochs[rows, pages]
        found["kind"] = self.kinds[rows]
        found.sort(order=("addr", "kind"))
        return found

    def hottest(self, n: int) -> "npt.NDArray[np.void]":
        """The ``n`` pages with the most events, hottest first, as :meth:`pages` gives them."""
        pages = self.pages()
        order = np.argsort(~pages["count"], kind="stable")
        hottest: "npt.NDArray[np.void]" = pages[order[:n]]
        return hottest
