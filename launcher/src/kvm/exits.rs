//! What a KVM_RUN has brought about: an [`Exit`], with the program's registers as the program left them.

use vm_memory::Address;

use super::vcpu::{RFLAGS_USER, Raw, Resume, Vcpu};
use crate::guest::layout::{self, PAGE, PORT_EXCEPTION, PORT_SYSCALL};
use crate::guest::stub_page::{self, Progress, Way};
use crate::guest::stubs::{self, ExceptionFrame};
use crate::probes::syscall_entry::SyscallEntry;

/// Resume flag, which SYSRET must not carry along.
const RFLAGS_RESUME: u64 = 1 << 16;
/// Trap flag: SYSRET would trap before the next instruction, where the kernel lets that one pass.
const RFLAGS_TRAP: u64 = 1 << 8;

/// General-protection fault, the vector.
pub(crate) const VECTOR_GP: u64 = 13;

/// An exception that the guest took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trap {
    /// Vector, 0 to 31.
    pub vector: u64,
    /// Error code, 0 where the exception has none.
    pub error: u64,
    /// The faulting address, for page faults.
    pub cr2: u64,
}

/// Why the guest stopped. Except for `RingFull`, the registers are the program's.
#[derive(Debug)]
pub(crate) enum Exit {
    /// A system call: number in rax; rip behind the instruction.
    Syscall,
    /// An exception in the program.
    Exception(Trap),
    /// The dirty ring must be drained before the guest can go on.
    RingFull,
    /// A signal is waiting.
    Interrupted,
    /// The host cannot provide a page that the guest's tables offer; KVM does not say which.
    BadMemory,
    /// Something that a working launcher and KVM never show.
    Broken(String),
}

impl Vcpu {
    /// Runs the guest until something must be done for it.
    pub(crate) fn run(&mut self) -> Exit {
        let raw = self.enter();
        self.exit(raw)
    }

    /// What `raw`, which [`Vcpu::enter`] has returned, means for the program.
    pub(crate) fn exit(&mut self, mut raw: Raw) -> Exit {
        while matches!(raw, Raw::Interrupted) && self.regs().rip >= layout::SYSTEM {
            // In an exception's stub, which leaves the guest at once.
            self.fd.set_kvm_immediate_exit(0);
            raw = self.enter();
        }
        match raw {
            Raw::Port(port) => self.port_exit(port),
            Raw::Interrupted => match self.place() {
                Some((way, progress)) => self.leave_stub(way, progress),
                None => Exit::Interrupted,
            },
            Raw::RingFull => Exit::RingFull,
            Raw::BadMemory => Exit::BadMemory,
            Raw::Broken(what) => Exit::Broken(what),
        }
    }

    /// As [`Vcpu::exit`], for a guest that waits for the answer to a call: the registers become those of the call, or
    /// those behind it if the guest has seen the answer already. Whatever else made KVM_RUN return will do so again.
    pub(crate) fn exit_from_call(&mut self, raw: Raw) -> Exit {
        match self.place() {
            Some((way, progress)) => self.leave_stub(way, progress),
            None => self.exit(raw),
        }
    }

    /// An `out` (or, with None, an `in`): ours, or the program's own, which it may not execute.
    fn port_exit(&mut self, port: Option<u16>) -> Exit {
        let rip = self.fd.sync_regs_mut().regs.rip;
        if port == Some(PORT_SYSCALL)
            && let Some((way, progress)) = self.place()
        {
            return self.leave_stub(way, progress);
        }
        if port == Some(PORT_EXCEPTION) && rip >= layout::SYSTEM {
            return self.exception();
        }
        self.resume = Resume::Registers;
        Exit::Exception(Trap {
            vector: VECTOR_GP,
            error: 0,
            cr2: 0,
        })
    }

    /// Where in the stub page the guest is.
    fn place(&mut self) -> Option<(Way, Progress)> {
        let rip = self.fd.sync_regs_mut().regs.rip;
        stub_page::place(rip.checked_sub(self.machine.window)?)
    }

    /// Makes the registers those of the program: of the call that is about to be made, or behind it.
    fn leave_stub(&mut self, way: Way, progress: Progress) -> Exit {
        let requests = self.requests().clone();
        let (kept, value) = (requests.kept(), requests.value());
        // The answer may have come when the guest had stopped looking for it.
        let is_answered = match progress {
            Progress::Posted => !requests.is_waiting(),
            Progress::Answered { .. } | Progress::Returning => true,
            Progress::Begun | Progress::RcxKept | Progress::Kept => false,
        };
        requests.settle();
        let regs = &mut self.fd.sync_regs_mut().regs;
        if progress >= Progress::RcxKept && progress != Progress::Returning {
            regs.rcx = kept.rip;
        }
        match progress {
            Progress::Begun | Progress::RcxKept | Progress::Returning => {}
            _ => {
                regs.rax = if is_answered { value } else { kept.nr };
                regs.r11 = kept.rflags;
            }
        }
        if progress == (Progress::Answered { own_stack: true }) {
            regs.rsp = requests.kept_rsp();
        }
        match way {
            Way::Syscall => self.take_syscall_return(),
            Way::Site => {
                regs.r11 = regs.rflags;
                regs.rip = regs.rcx;
                self.resume = Resume::Registers;
            }
        }
        match is_answered {
            true => Exit::Interrupted,
            false => Exit::Syscall,
        }
    }

    /// Makes the registers those of the program: SYSCALL left rip in rcx and rflags in r11.
    fn take_syscall_return(&mut self) {
        let ring0 = self.machine.entry.get() == Some(&SyscallEntry::Ring0);
        let regs = &mut self.fd.sync_regs_mut().regs;
        self.resume = match (ring0, regs.r11 & RFLAGS_TRAP) {
            (true, 0) => Resume::Sysret,
            (true, _) => Resume::Segments,
            (false, _) => Resume::Registers,
        };
        regs.rip = regs.rcx;
        regs.rflags = (regs.r11 & !RFLAGS_RESUME) | RFLAGS_USER;
    }

    fn exception(&mut self) -> Exit {
        let sregs = match self.sregs() {
            Ok(sregs) => sregs,
            Err(e) => return Exit::Broken(format!("KVM_GET_SREGS failed: {e}")),
        };
        let Some(frame) = self.exception_frame() else {
            let rsp = self.fd.sync_regs_mut().regs.rsp;
            return Exit::Broken(format!("an exception left its frame at {rsp:#x}"));
        };
        if frame.cs & 3 == 0 {
            return self.exception_in_ring0(&frame);
        }
        let regs = &mut self.fd.sync_regs_mut().regs;
        (regs.rip, regs.rflags, regs.rsp) = (frame.rip, frame.rflags, frame.rsp);
        let trap = Trap {
            vector: frame.vector,
            error: frame.error,
            cr2: sregs.cr2,
        };
        self.sregs = Some(Box::new(sregs));
        self.resume = Resume::Segments;
        Exit::Exception(trap)
    }

    /// A debug trap that was pending when the program executed SYSCALL (after MOV SS; on some processors
    /// by the trap flag) comes before the stub's first instruction: the call goes on.
    fn exception_in_ring0(&mut self, frame: &ExceptionFrame) -> Exit {
        let entry = self.machine.window + stub_page::SYSCALL_ENTRY;
        if frame.vector != u64::from(stubs::DEBUG) || frame.rip != entry {
            return Exit::Broken(format!("an exception in ring 0: {frame:x?}"));
        }
        self.fd.sync_regs_mut().regs.rsp = frame.rsp;
        self.take_syscall_return();
        self.resume = Resume::Segments;
        Exit::Syscall
    }

    fn exception_frame(&mut self) -> Option<ExceptionFrame> {
        let rsp = self.fd.sync_regs_mut().regs.rsp;
        let offset = rsp.checked_sub(layout::stack_page(self.id))?;
        if offset > PAGE - 8 * stubs::EXCEPTION_WORDS || offset % 8 != 0 {
            return None;
        }
        let place = self.pages.stack.unchecked_add(offset);
        Some(ExceptionFrame::read(self.machine.tables.arena(), place))
    }
}
