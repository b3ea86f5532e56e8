//! Boots an image, with the lines of its serial port on a stream.

mod bochs;
mod qemu;

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::image::Image;
use crate::rig::Rig;
use crate::{RigError, doing};

/// A running emulator. Killed when dropped.
pub(crate) struct Emulator {
    /// Its process.
    pub child: Child,
    /// What its serial port says; ends when the emulator does.
    pub serial: Box<dyn Read + Send>,
}

/// Installs the emulator's packages where they are missing.
///
/// # Errors
/// The command to type.
pub(crate) fn install(rig: Rig) -> Result<(), RigError> {
    let (packages, files) = match rig {
        Rig::Amd => (qemu::PACKAGES, qemu::FILES),
        Rig::Intel | Rig::IntelTwo => (bochs::PACKAGES, bochs::FILES),
    };
    let ensured = files
        .iter()
        .try_for_each(|file| vmmload_tests::packages::ensure(file, packages));
    ensured.map_err(RigError::Missing)
}

/// Starts the machine; `directory` is the rig's own, for what the emulator needs beside the image.
///
/// # Errors
/// What keeps it from starting.
pub(crate) fn boot(rig: Rig, image: &Image, directory: &Path) -> Result<Emulator, RigError> {
    std::fs::create_dir_all(directory)
        .map_err(doing(format!("creating {}", directory.display())))?;
    match rig {
        Rig::Amd => qemu::boot(image),
        Rig::Intel | Rig::IntelTwo => bochs::boot(image, rig.processors(), directory),
    }
}

/// Starts the emulator, which dies with the thread that does so, however that ends.
fn start(command: &mut Command) -> Result<Child, RigError> {
    let shown = crate::command::shown(command);
    let die_along = || {
        // SAFETY: the request takes a number and touches no memory.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: runs between fork and exec: it makes one system call and allocates nothing.
    unsafe { command.pre_exec(die_along) };
    command.stdin(Stdio::null()).spawn().map_err(doing(shown))
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
