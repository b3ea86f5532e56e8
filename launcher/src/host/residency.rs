//! Which pages of this process are in memory (pagemap, admin-guide/mm/pagemap.rst).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::descriptors::Parked;
use super::{filesystem, origin, relay};
use crate::guest::layout::PAGE;

/// Pages looked at in one go.
const PAGES: u64 = 1 << 16;

/// Has `memory` backed page by page. What is used here and there must not become resident by 2 MiB, neither at the
/// first touch nor later (admin-guide/mm/transhuge.rst: `enabled` may be `always`).
pub(crate) fn back_page_by_page<T>(memory: &mut [T]) {
    let Range { start, end } = memory.as_mut_ptr_range();
    let start = (start as u64).next_multiple_of(PAGE);
    let end = end as u64 & !(PAGE - 1);
    if start < end {
        let args = [start, end - start, libc::MADV_NOHUGEPAGE as u64, 0, 0, 0];
        // SAFETY: the pages lie within `memory`, and the advice does not change what is in them. A kernel without
        // huge pages refuses it, which is as good.
        unsafe { relay::raw(libc::SYS_madvise, args) };
    }
}

/// What of some ranges of addresses is in memory.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Residency {
    /// Pages that are there, as runs by address.
    pub present: Vec<Range<u64>>,
    /// Pages that are swapped out.
    pub swapped: u64,
    /// The kernel does not show more than what is in its caches: pages of files count that the
    /// process has not mapped in, and what is swapped out is not known.
    pub by_cache: bool,
}

impl Residency {
    /// Looks at `ranges`, which are ordered and whole pages.
    pub(crate) fn of(ranges: impl Iterator<Item = Range<u64>>) -> Self {
        let pagemap = Parked::open(open).ok();
        let mut found = Self::default();
        for mut left in ranges {
            let told = pagemap.as_ref().is_some_and(|pagemap| {
                let pagemap = pagemap.file();
                let scanned = found.scan(pagemap, &mut left);
                // The call is younger than the file.
                scanned.or_else(|_| found.read(pagemap, &mut left)).is_ok()
            });
            if !told && !left.is_empty() {
                found.by_cache = true;
                found.ask_caches(left);
            }
        }
        found
    }

    /// Has the kernel list the pages of `left`, passing over what was never used however large it is.
    fn scan(&mut self, pagemap: &File, left: &mut Range<u64>) -> io::Result<()> {
        let mut regions = [PageRegion::default(); 512];
        while !left.is_empty() {
            let mut request = ScanRequest::new(left, &mut regions);
            let args = [
                pagemap.as_raw_fd() as u64,
                PAGEMAP_SCAN,
                &raw mut request as u64,
                0,
                0,
                0,
            ];
            // SAFETY: the kernel reads and writes `request`, and writes as many regions as it is told there are.
            let filled = relay::check(unsafe { relay::raw(libc::SYS_ioctl, args) })
                .map_err(io::Error::from_raw_os_error)?;
            for region in regions.iter().take(filled as usize) {
                self.add(
                    region.start..region.end,
                    region.categories & IS_PRESENT != 0,
                );
            }
            if request.walk_end <= left.start {
                return Err(io::ErrorKind::InvalidData.into());
            }
            left.start = request.walk_end;
        }
        Ok(())
    }

    /// Reads one number for each page of `left`.
    fn read(&mut self, pagemap: &File, left: &mut Range<u64>) -> io::Result<()> {
        const PRESENT: u64 = 1 << 63;
        const SWAPPED: u64 = 1 << 62;
        let mut bytes = vec![0; (PAGES.min((left.end - left.start) / PAGE) * 8) as usize];
        while !left.is_empty() {
            let pages = PAGES.min((left.end - left.start) / PAGE);
            let bytes = &mut bytes[..(pages * 8) as usize];
            pagemap.read_exact_at(bytes, left.start / PAGE * 8)?;
            let (entries, _) = bytes.as_chunks();
            for (page, entry) in (0..).zip(entries) {
                let entry = u64::from_ne_bytes(*entry);
                let at = left.start + page * PAGE;
                if entry & (PRESENT | SWAPPED) != 0 {
                    self.add(at..at + PAGE, entry & PRESENT != 0);
                }
            }
            left.start += pages * PAGE;
        }
        Ok(())
    }

    fn ask_caches(&mut self, mut left: Range<u64>) {
        let mut answers = vec![0u8; PAGES.min((left.end - left.start) / PAGE) as usize];
        while !left.is_empty() {
            let pages = PAGES.min((left.end - left.start) / PAGE);
            let length = pages * PAGE;
            let args = [left.start, length, answers.as_mut_ptr() as u64, 0, 0, 0];
            // SAFETY: mincore writes one byte for each page of the range, and `answers` has as many.
            let told = unsafe { relay::raw(libc::SYS_mincore, args) } == 0;
            for (page, answer) in (0..pages).zip(&answers) {
                let at = left.start + page * PAGE;
                if told && answer & 1 != 0 {
                    self.add(at..at + PAGE, true);
                }
            }
            left.start += length;
        }
    }

    fn add(&mut self, pages: Range<u64>, present: bool) {
        match self.present.last_mut() {
            _ if !present => self.swapped += (pages.end - pages.start) / PAGE,
            Some(last) if last.end == pages.start => last.end = pages.end,
            _ => self.present.push(pages),
        }
    }
}

/// The file as a thread has it, since the first one may have ended.
pub(crate) fn open() -> io::Result<File> {
    match origin::descriptor() {
        Some(proc) => filesystem::open_at(proc, c"thread-self/pagemap"),
        None => File::open("/proc/thread-self/pagemap"),
    }
}

/// `_IOWR('f', 16, struct pm_scan_arg)` of linux/fs.h, as are the following.
const PAGEMAP_SCAN: u64 = 3 << 30 | (size_of::<ScanRequest>() as u64) << 16 | 0x66 << 8 | 16;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;

/// `struct page_region`.
#[derive(Debug, Default, Clone, Copy)]
#[repr(C)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[derive(Debug, Default)]
#[repr(C)]
struct ScanRequest {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

impl ScanRequest {
    fn new(range: &Range<u64>, regions: &mut [PageRegion]) -> Self {
        Self {
            size: size_of::<Self>() as u64,
            start: range.start,
            end: range.end,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            category_anyof_mask: IS_PRESENT | IS_SWAPPED,
            return_mask: IS_PRESENT | IS_SWAPPED,
            ..Self::default()
        }
    }
}

/// Whether what is at `page` comes from the file that is mapped there: nobody has stored to it, or wants it to be
/// private otherwise. `pagemap`: see [`open`]. False where the kernel does not tell.
pub(crate) fn is_from_file(pagemap: &File, page: u64) -> bool {
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    const FILE: u64 = 1 << 61;
    let mut entry = [0; 8];
    let read = pagemap.read_exact_at(&mut entry, page / PAGE * 8);
    let entry = u64::from_ne_bytes(entry);
    // What is not there yet will come from the file.
    read.is_ok() && (entry & (PRESENT | SWAPPED) == 0 || entry & FILE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: u64 = 1000 * PAGE;

    /// New memory of which the first page and three in the middle have been stored to.
    fn used_in_two_places() -> (Range<u64>, Vec<Range<u64>>) {
        let memory = memmap2::MmapMut::map_anon(LENGTH as usize).unwrap();
        memory.advise(memmap2::Advice::NoHugePage).unwrap();
        let memory = Box::leak(Box::new(memory));
        for page in [0, 500, 501, 502] {
            memory[page * PAGE as usize + 7] = 1;
        }
        let start = memory.as_ptr() as u64;
        let run = |from, to| start + from * PAGE..start + to * PAGE;
        (start..start + LENGTH, vec![run(0, 1), run(500, 503)])
    }

    #[test]
    fn pages_that_were_used_are_there() {
        let (range, used) = used_in_two_places();
        let found = Residency::of([range].into_iter());
        assert_eq!(found.present, used);
        assert_eq!((found.swapped, found.by_cache), (0, false));
    }

    #[test]
    fn every_way_of_asking_gives_the_same_answer() {
        let (range, used) = used_in_two_places();
        let pagemap = open().unwrap();
        let mut read = Residency::default();
        read.read(&pagemap, &mut range.clone()).unwrap();
        assert_eq!(read.present, used);
        let mut asked = Residency::default();
        asked.ask_caches(range.clone());
        assert_eq!(asked.present, used);
        let mut scanned = Residency::default();
        // Linux 6.7 and later.
        match scanned.scan(&pagemap, &mut range.clone()) {
            Ok(()) => assert_eq!(scanned.present, used),
            Err(e) => assert_eq!(e.raw_os_error(), Some(libc::ENOTTY)),
        }
    }

    #[test]
    fn a_file_that_cannot_answer_is_no_answer() {
        let (mut range, _) = used_in_two_places();
        let wrong = File::open("/dev/null").unwrap();
        let mut found = Residency::default();
        assert!(found.scan(&wrong, &mut range).is_err());
        assert!(found.read(&wrong, &mut range).is_err());
        assert_eq!(found, Residency::default());
    }
}
