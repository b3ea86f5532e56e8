//! QEMU: an AMD processor with SVM and nested paging, emulated without any help of the host's.

use std::process::{Command, Stdio};

use super::{Emulator, start};
use crate::RigError;
use crate::image::Image;

pub(super) const PACKAGES: &str = "qemu-system-x86";
pub(super) const FILES: &[&str] = &["/usr/bin/qemu-system-x86_64"];

/// Both processors on one host thread: with a thread each, memory of the emulated kernel is damaged now
/// and then where a VM runs (seen with QEMU 7.2: wrong pages in the guest, stacks overwritten).
const ACCELERATOR: &str = "tcg,thread=single";
/// `la57=off`: with five-level page tables, which no guest here uses, each emulated walk takes longer.
const PROCESSOR: &str = "max,la57=off";
/// MiB; a third of it for a program of 100,000 pages, the rest for the archive and the host's own.
const MEMORY: &str = "2048";
/// What the kernel is told. `tsc=reliable`: else its clock would not be the time-stamp counter, and the
/// vDSO would not show whether the guest's counter is right. `panic=-1`: a crash ends the emulator
/// instead of waiting for the limit.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable";

pub(super) fn boot(image: &Image) -> Result<Emulator, RigError> {
    let mut command = Command::new(FILES[0]);
    command
        .args([
            "-accel",
            ACCELERATOR,
            "-cpu",
            PROCESSOR,
            "-smp",
            "2",
            "-m",
            MEMORY,
        ])
        .args([
            "-display",
            "none",
            "-monitor",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
        ])
        .args(["-nodefaults", "-append", KERNEL_ARGUMENTS, "-kernel"])
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(&image.archive)
        .stdout(Stdio::piped());
    let mut child = start(&mut command)?;
    let serial = Box::new(child.stdout.take().expect("piped above"));
    Ok(Emulator { child, serial })
}
