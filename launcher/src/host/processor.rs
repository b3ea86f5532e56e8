//! What the host's processor says of itself.

use std::arch::x86_64::_rdtsc;

use super::clock;

/// The time-stamp counter.
pub(crate) fn tsc() -> u64 {
    // SAFETY: every 64-bit processor has RDTSC, and Linux allows it in ring 3.
    unsafe { _rdtsc() }
}

/// What `cycles` of the time-stamp counter are in nanoseconds; takes a few milliseconds to find out.
pub(crate) fn cycles_to_ns(cycles: u64) -> u64 {
    const WATCHED_NS: u64 = 5_000_000;
    let (tsc_before, before) = (tsc(), clock::monotonic_ns());
    let mut now = before;
    while now < before + WATCHED_NS {
        now = clock::monotonic_ns();
    }
    let watched = tsc().saturating_sub(tsc_before).max(1);
    let ns = u128::from(cycles) * u128::from(now - before) / u128::from(watched);
    u64::try_from(ns).unwrap_or(u64::MAX)
}

/// XCR0 of the host's processor, as its kernel set it.
pub(crate) fn host_xcr0() -> u64 {
    if !std::arch::is_x86_feature_detected!("xsave") {
        return 3;
    }
    let (low, high): (u32, u32);
    // SAFETY: the processor has XSAVE and the kernel has enabled it (the detection looks at
    // OSXSAVE), so reading XCR0 is allowed in ring 3.
    unsafe {
        std::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high,
            options(nomem, nostack));
    }
    u64::from(low) | (u64::from(high) << 32)
}
