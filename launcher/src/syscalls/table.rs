//! The table: which calls are emulated, and what is known of each.
//!
//! A number that is not here is relayed: that includes calls that nobody has invented yet.

use super::{Handler, descriptors, mapping, memory, own_state, proc_self, signals, threads, unsupported};

/// What is known of a call, for whoever decides where it is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// It reads or writes the issuing thread's registers, so that the vCPU must have stopped.
    pub needs_registers: bool,
}

/// One row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// None: relayed.
    pub handler: Option<Handler>,
    /// See [`Attributes`].
    pub attributes: Attributes,
}

const RELAYED: Entry = Entry { handler: None, attributes: Attributes { needs_registers: false } };

const fn emulated(handler: Handler) -> Entry {
    Entry { handler: Some(handler), attributes: Attributes { needs_registers: false } }
}

const fn with_registers(handler: Handler) -> Entry {
    Entry { handler: Some(handler), attributes: Attributes { needs_registers: true } }
}

/// Highest number in the table.
const HIGHEST: usize = 512;

static TABLE: [Entry; HIGHEST] = build();

const fn build() -> [Entry; HIGHEST] {
    let mut table = [RELAYED; HIGHEST];
    let rows: &[(libc::c_long, Entry)] = &[
        // Memory: the table of mappings and the guest's entries follow the host's mappings.
        (libc::SYS_mmap, emulated(mapping::mmap)),
        (libc::SYS_munmap, emulated(mapping::munmap)),
        (libc::SYS_mprotect, emulated(mapping::mprotect)),
        (libc::SYS_pkey_mprotect, emulated(mapping::mprotect)),
        (libc::SYS_mremap, emulated(mapping::mremap)),
        (libc::SYS_remap_file_pages, emulated(memory::remap_file_pages)),
        (libc::SYS_brk, emulated(memory::brk)),
        (libc::SYS_madvise, emulated(memory::madvise)),
        (libc::SYS_shmat, emulated(memory::shmat)),
        (libc::SYS_shmdt, emulated(memory::shmdt)),
        (libc::SYS_personality, emulated(memory::personality)),
        // Threads: one host thread and one vCPU each.
        (libc::SYS_clone, with_registers(threads::clone)),
        (libc::SYS_clone3, with_registers(threads::clone3)),
        (libc::SYS_exit, with_registers(threads::exit)),
        (libc::SYS_exit_group, with_registers(threads::exit_group)),
        // Signals: noted on the host, delivered in the guest.
        (libc::SYS_rt_sigaction, emulated(signals::rt_sigaction)),
        (libc::SYS_rt_sigprocmask, emulated(signals::rt_sigprocmask)),
        (libc::SYS_rt_sigreturn, with_registers(signals::rt_sigreturn)),
        (libc::SYS_sigaltstack, with_registers(signals::sigaltstack)),
        // Descriptors: the launcher's own must survive, and stay unseen.
        (libc::SYS_close, emulated(descriptors::close)),
        (libc::SYS_close_range, emulated(descriptors::close_range)),
        (libc::SYS_dup2, emulated(descriptors::dup)),
        (libc::SYS_dup3, emulated(descriptors::dup)),
        (libc::SYS_getrlimit, emulated(descriptors::limit)),
        (libc::SYS_setrlimit, emulated(descriptors::limit)),
        (libc::SYS_prlimit64, emulated(descriptors::limit)),
        // The thread's own processor state.
        (libc::SYS_arch_prctl, with_registers(own_state::arch_prctl)),
        (libc::SYS_prctl, emulated(own_state::prctl)),
        (libc::SYS_rseq, emulated(own_state::rseq)),
        (libc::SYS_seccomp, emulated(own_state::seccomp)),
        (libc::SYS_set_thread_area, emulated(own_state::no_segments)),
        (libc::SYS_get_thread_area, emulated(own_state::no_segments)),
        (libc::SYS_modify_ldt, emulated(own_state::no_segments)),
        (libc::SYS_iopl, emulated(own_state::no_ports)),
        (libc::SYS_ioperm, emulated(own_state::no_ports)),
        (libc::SYS_pkey_alloc, emulated(own_state::pkey_alloc)),
        (MAP_SHADOW_STACK, emulated(own_state::no_shadow_stack)),
        // What a process sees of itself.
        (libc::SYS_readlink, emulated(proc_self::readlink)),
        (libc::SYS_readlinkat, emulated(proc_self::readlink)),
        (libc::SYS_open, emulated(proc_self::open)),
        (libc::SYS_openat, emulated(proc_self::open)),
        (libc::SYS_openat2, emulated(proc_self::open)),
        // Refused by name.
        (libc::SYS_fork, emulated(unsupported::fork)),
        (libc::SYS_vfork, emulated(unsupported::fork)),
        (libc::SYS_execve, emulated(unsupported::exec)),
        (libc::SYS_execveat, emulated(unsupported::exec)),
    ];
    let mut i = 0;
    while i < rows.len() {
        table[rows[i].0 as usize] = rows[i].1;
        i += 1;
    }
    table
}

/// map_shadow_stack(2), which libc does not name yet.
const MAP_SHADOW_STACK: libc::c_long = 453;

/// The row for call number `nr`.
pub(crate) fn lookup(nr: u64) -> &'static Entry {
    // The kernel looks at the lower 32 bits only (do_syscall_64).
    TABLE.get(nr as u32 as usize).unwrap_or(&RELAYED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_nobody_knows_is_relayed() {
        assert!(lookup(100_000).handler.is_none());
        assert!(lookup(u64::MAX).handler.is_none());
        assert!(lookup(libc::SYS_getppid as u64).handler.is_none());
    }

    #[test]
    fn calls_that_change_the_vcpu_say_so() {
        assert!(lookup(libc::SYS_clone as u64).attributes.needs_registers);
        assert!(lookup(libc::SYS_rt_sigreturn as u64).attributes.needs_registers);
        assert!(!lookup(libc::SYS_mmap as u64).attributes.needs_registers);
    }
}
