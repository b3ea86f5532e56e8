//! What the host's processor says of itself.

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
