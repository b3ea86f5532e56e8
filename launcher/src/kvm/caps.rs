//! Opens `/dev/kvm` and finds out what it offers.

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use kvm_bindings as kb;
use kvm_ioctls::Kvm;

use crate::host::descriptors;

/// Why this machine's KVM cannot be used. Every variant ends with what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenKvmError {
    /// There is no device node.
    #[error(
        "/dev/kvm does not exist: this kernel has no KVM, or its module is not loaded. \
         Load it (modprobe kvm_intel or kvm_amd), enable virtualisation in the firmware, \
         or in a container pass the device on (--device /dev/kvm)"
    )]
    Missing,
    /// The device node is there, but not for this user.
    #[error(
        "/dev/kvm may not be opened by this user. Join its group \
         (usermod -aG kvm USER, then log in again) or ask for access to the device"
    )]
    Denied,
    /// No descriptor is free.
    #[error("/dev/kvm cannot be opened: {0}. Raise the limit of open files (ulimit -n)")]
    Descriptors(#[source] io::Error),
    /// Anything else that open(2) says.
    #[error("/dev/kvm cannot be opened: {0}. Check that the device is KVM's and not busy")]
    Open(#[source] io::Error),
    /// The programming interface is not the stable one.
    #[error("/dev/kvm speaks API version {0}, not 12. Use a kernel with the stable KVM interface")]
    ApiVersion(i32),
    /// A capability without which no program can run.
    #[error("this KVM lacks {name} ({number}). Use Linux {since} or later on the host")]
    Capability {
        /// The kernel's name for it.
        name: &'static str,
        /// Its number in linux/kvm.h.
        number: u32,
        /// The first kernel that has it on x86-64.
        since: &'static str,
    },
}

/// What KVM offers here, in the units that the kernel uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    /// Most vCPUs that one VM may have.
    pub max_vcpus: u32,
    /// Most memory slots that one VM may have.
    pub max_slots: u32,
    /// Largest dirty ring of one vCPU, in bytes; 0 where there are none.
    pub max_ring_bytes: u32,
    /// Exits that a VM can be spared: bits of KVM_CAP_X86_DISABLE_EXITS.
    pub spared_exits: u32,
}

/// Capabilities that every run needs, with the first kernel that has them.
const REQUIRED: &[(&str, u32, &str)] = &[
    ("KVM_CAP_USER_MEMORY", kb::KVM_CAP_USER_MEMORY, "2.6.25"),
    ("KVM_CAP_SYNC_REGS", kb::KVM_CAP_SYNC_REGS, "4.17"),
    ("KVM_CAP_IMMEDIATE_EXIT", kb::KVM_CAP_IMMEDIATE_EXIT, "4.11"),
    ("KVM_CAP_XSAVE", kb::KVM_CAP_XSAVE, "2.6.36"),
];

/// Opens `/dev/kvm` out of the program's way and checks what every run needs.
///
/// # Errors
/// See [`OpenKvmError`].
pub(crate) fn open() -> Result<(Kvm, Caps), OpenKvmError> {
    let fd = descriptors::open_parked(|| {
        let fd =
            Kvm::open_with_cloexec(true).map_err(|e| io::Error::from_raw_os_error(e.errno()))?;
        // SAFETY: the descriptor was just opened and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    })
    .map_err(|e: io::Error| match e.raw_os_error() {
        Some(libc::ENOENT | libc::ENXIO | libc::ENODEV) => OpenKvmError::Missing,
        Some(libc::EACCES | libc::EPERM) => OpenKvmError::Denied,
        Some(libc::EMFILE | libc::ENFILE) => OpenKvmError::Descriptors(e),
        _ => OpenKvmError::Open(e),
    })?;
    // SAFETY: a descriptor of /dev/kvm that nothing else owns.
    let kvm = unsafe { Kvm::from_raw_fd(fd.into_raw_fd()) };
    if kvm.get_api_version() != 12 {
        return Err(OpenKvmError::ApiVersion(kvm.get_api_version()));
    }
    for &(name, number, since) in REQUIRED {
        if kvm.check_extension_raw(number.into()) <= 0 {
            return Err(OpenKvmError::Capability {
                name,
                number,
                since,
            });
        }
    }
    let value = |cap: u32| u32::try_from(kvm.check_extension_raw(cap.into())).unwrap_or(0);
    let caps = Caps {
        max_vcpus: (kvm.get_max_vcpus() as u32).max(1),
        max_slots: value(kb::KVM_CAP_NR_MEMSLOTS).max(32),
        max_ring_bytes: value(kb::KVM_CAP_DIRTY_LOG_RING_ACQ_REL),
        spared_exits: value(kb::KVM_CAP_X86_DISABLE_EXITS),
    };
    Ok((kvm, caps))
}
