//! A vCPU's counters as KVM keeps them: `Documentation/virt/kvm/api.rst` of the kernel, 4.133.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use crate::host::descriptors;

/// `_IO(KVMIO, 0xce)` of linux/kvm.h.
const KVM_GET_STATS_FD: libc::Ioctl = 0xaece;

/// Fixed part of a descriptor; the name follows.
const DESCRIPTOR_BYTES: usize = 16;

/// One counter of one vCPU.
pub(crate) struct Counter {
    file: File,
    offset: u64,
}

impl Counter {
    /// The counter called `name`.
    ///
    /// # Errors
    /// What KVM_GET_STATS_FD says (it is there from Linux 5.14 on); NotFound where no counter has
    /// that name.
    pub(crate) fn open(vcpu: &impl AsRawFd, name: &str) -> io::Result<Self> {
        let file = File::from(descriptors::open_parked(|| stats_fd(vcpu))?);
        // struct kvm_stats_header: flags, name_size, num_desc, id_offset, desc_offset, data_offset.
        let mut header = [0; 24];
        file.read_exact_at(&mut header, 0)?;
        let [_, name_size, count, _, first, data] =
            std::array::from_fn(|i| u64::from(word(&header, 4 * i)));
        let stride = DESCRIPTOR_BYTES as u64 + name_size;
        let mut descriptor = vec![0; stride as usize];
        for i in 0..count {
            file.read_exact_at(&mut descriptor, first + i * stride)?;
            let (fixed, text) = descriptor.split_at(DESCRIPTOR_BYTES);
            if text.split(|&byte| byte == 0).next() == Some(name.as_bytes()) {
                let offset = data + u64::from(word(fixed, 8));
                return Ok(Self { file, offset });
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Its present value.
    ///
    /// # Errors
    /// What pread(2) says.
    pub(crate) fn read(&self) -> io::Result<u64> {
        let mut value = [0; 8];
        self.file.read_exact_at(&mut value, self.offset)?;
        Ok(u64::from_le_bytes(value))
    }
}

fn stats_fd(vcpu: &impl AsRawFd) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument; the descriptor that it returns is ours alone.
    unsafe {
        match libc::ioctl(vcpu.as_raw_fd(), KVM_GET_STATS_FD, 0) {
            fd @ 0.. => Ok(OwnedFd::from_raw_fd(fd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}
