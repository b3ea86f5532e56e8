//! The table: which calls are emulated, and what is known of each.
//!
//! A number that is not here is relayed: that includes calls that nobody has invented yet.

use super::{
    Handler, descriptors, exec, mapping, memory, namespaces, own_state, proc_links, proc_listing,
    proc_self, processes, seccomp, signals, threads,
};

/// What is done with a call, and so which thread could do it.
#[derive(Clone, Copy)]
pub(super) enum Handling {
    /// Executed on the host as it is.
    Relayed,
    /// Emulated, as a function of number and arguments.
    Emulated(Handler),
    /// Emulated with the issuing vCPU's registers, which must have stopped for it.
    OnVcpu(Handler),
}

use Handling::{Emulated, OnVcpu, Relayed};

/// Highest number in the table.
const HIGHEST: usize = 512;

static TABLE: [Handling; HIGHEST] = build();

const fn build() -> [Handling; HIGHEST] {
    let mut table = [Relayed; HIGHEST];
    let rows: &[(libc::c_long, Handling)] = &[
        // Memory: the table of mappings and the guest's entries follow the host's mappings.
        (libc::SYS_mmap, Emulated(mapping::mmap)),
        (libc::SYS_munmap, Emulated(mapping::munmap)),
        (libc::SYS_mprotect, Emulated(mapping::mprotect)),
        (libc::SYS_pkey_mprotect, Emulated(mapping::mprotect)),
        (libc::SYS_mremap, Emulated(mapping::mremap)),
        (
            libc::SYS_remap_file_pages,
            Emulated(memory::remap_file_pages),
        ),
        (libc::SYS_brk, Emulated(memory::brk)),
        (libc::SYS_madvise, Emulated(memory::madvise)),
        (libc::SYS_shmat, Emulated(memory::shmat)),
        (libc::SYS_shmdt, Emulated(memory::shmdt)),
        (libc::SYS_personality, Emulated(memory::personality)),
        // Threads: one host thread and one vCPU each.
        (libc::SYS_clone, OnVcpu(threads::clone)),
        (libc::SYS_clone3, OnVcpu(threads::clone3)),
        // Processes: each has a VM of its own.
        (libc::SYS_fork, OnVcpu(processes::fork)),
        (libc::SYS_vfork, OnVcpu(processes::vfork)),
        (libc::SYS_exit, OnVcpu(threads::exit)),
        (libc::SYS_exit_group, OnVcpu(threads::exit_group)),
        // Namespaces: for some the kernel wants a process of one thread.
        (libc::SYS_unshare, Emulated(namespaces::unshare)),
        (libc::SYS_setns, Emulated(namespaces::setns)),
        // A new image: the launcher executes itself.
        (libc::SYS_execve, OnVcpu(exec::execve)),
        (libc::SYS_execveat, OnVcpu(exec::execveat)),
        // Signals: noted on the host, delivered in the guest.
        (libc::SYS_rt_sigaction, Emulated(signals::rt_sigaction)),
        (libc::SYS_rt_sigprocmask, Emulated(signals::rt_sigprocmask)),
        (libc::SYS_rt_sigreturn, OnVcpu(signals::rt_sigreturn)),
        (libc::SYS_sigaltstack, OnVcpu(signals::sigaltstack)),
        // Descriptors: the launcher's own must survive, and stay unseen.
        (libc::SYS_close, Emulated(descriptors::one)),
        (libc::SYS_dup, Emulated(descriptors::one)),
        (libc::SYS_fcntl, Emulated(descriptors::one)),
        (libc::SYS_close_range, Emulated(descriptors::close_range)),
        (libc::SYS_dup2, Emulated(descriptors::onto)),
        (libc::SYS_dup3, Emulated(descriptors::onto)),
        (libc::SYS_getrlimit, Emulated(descriptors::limit)),
        (libc::SYS_setrlimit, Emulated(descriptors::limit)),
        (libc::SYS_prlimit64, Emulated(descriptors::limit)),
        // The thread's own processor state.
        (libc::SYS_arch_prctl, OnVcpu(own_state::arch_prctl)),
        (libc::SYS_prctl, Emulated(own_state::prctl)),
        (libc::SYS_rseq, Emulated(own_state::rseq)),
        (libc::SYS_seccomp, Emulated(seccomp::seccomp)),
        (libc::SYS_set_thread_area, Emulated(own_state::no_segments)),
        (libc::SYS_get_thread_area, Emulated(own_state::no_segments)),
        (libc::SYS_modify_ldt, Emulated(own_state::no_segments)),
        (libc::SYS_iopl, Emulated(own_state::no_ports)),
        (libc::SYS_ioperm, Emulated(own_state::no_ports)),
        (libc::SYS_pkey_alloc, Emulated(own_state::pkey_alloc)),
        (MEMFD_SECRET, Emulated(own_state::no_secret_memory)),
        (libc::SYS_userfaultfd, Emulated(own_state::userfaultfd)),
        (MAP_SHADOW_STACK, Emulated(own_state::no_shadow_stack)),
        // Some namespaces are for a process of one thread.
        (libc::SYS_unshare, Emulated(namespaces::unshare)),
        (libc::SYS_setns, Emulated(namespaces::setns)),
        // A tracer would see the launcher.
        (libc::SYS_ptrace, Emulated(own_state::ptrace)),
        // What a process sees of itself.
        (libc::SYS_readlink, Emulated(proc_links::readlink)),
        (libc::SYS_readlinkat, Emulated(proc_links::readlink)),
        (libc::SYS_stat, Emulated(proc_links::follow)),
        (libc::SYS_access, Emulated(proc_links::follow)),
        (libc::SYS_newfstatat, Emulated(proc_links::follow_at)),
        (libc::SYS_statx, Emulated(proc_links::follow_at)),
        (libc::SYS_faccessat, Emulated(proc_links::follow_at)),
        (libc::SYS_faccessat2, Emulated(proc_links::follow_at)),
        (libc::SYS_getdents, Emulated(proc_listing::getdents)),
        (libc::SYS_getdents64, Emulated(proc_listing::getdents)),
        (libc::SYS_open, Emulated(proc_self::open)),
        (libc::SYS_openat, Emulated(proc_self::open)),
        (libc::SYS_openat2, Emulated(proc_self::open)),
    ];
    let mut i = 0;
    while i < rows.len() {
        table[rows[i].0 as usize] = rows[i].1;
        i += 1;
    }
    table
}

/// memfd_secret(2), which libc has for other processors only.
const MEMFD_SECRET: libc::c_long = 447;

/// map_shadow_stack(2), which libc does not name yet.
const MAP_SHADOW_STACK: libc::c_long = 453;

/// What is done with call number `nr`.
pub(super) fn lookup(nr: u64) -> Handling {
    // The kernel looks at the lower 32 bits only (do_syscall_64).
    TABLE.get(nr as u32 as usize).copied().unwrap_or(Relayed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_nobody_knows_is_relayed() {
        assert!(matches!(lookup(100_000), Relayed));
        assert!(matches!(lookup(u64::MAX), Relayed));
        assert!(matches!(lookup(libc::SYS_getppid as u64), Relayed));
    }

    #[test]
    fn calls_that_change_the_vcpu_say_so() {
        assert!(matches!(lookup(libc::SYS_clone as u64), OnVcpu(_)));
        assert!(matches!(lookup(libc::SYS_rt_sigreturn as u64), OnVcpu(_)));
        assert!(matches!(lookup(libc::SYS_mmap as u64), Emulated(_)));
    }
}
