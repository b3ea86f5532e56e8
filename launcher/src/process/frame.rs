//! Signal frames: what a handler finds on its stack, and the way back from it.
//!
//! The layout is that of arch/x86/include/asm/sigframe.h (`struct rt_sigframe`) and
//! uapi/asm/sigcontext.h:
//!
//! ```text
//! frame  + 0    return address (sa_restorer)
//!        + 8    ucontext: flags, link, alternate stack, registers, mask
//!        + 312  siginfo
//! above  64-byte aligned: the XSAVE area, then FP_XSTATE_MAGIC2
//! ```

use kvm_bindings::{kvm_regs, kvm_xsave};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::thread::GuestThread;
use crate::guest::layout::{USER_CS, USER_DS, USER_END};
use crate::host::guest_memory::{self, BadAddress};
use crate::host::signals::{KernelAction, SigInfo};

const REDZONE: u64 = 128;
const FX_AREA: usize = 512;
/// Offset of the software-reserved bytes in the FXSAVE area.
const FX_SOFTWARE: usize = 464;
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
const UC_FLAGS: u64 = 1 | 2 | 4; // UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
const MIN_STACK: u64 = 2048;

const FLAG_TRAP: u64 = 1 << 8;
const FLAG_DIRECTION: u64 = 1 << 10;
const FLAG_RESUME: u64 = 1 << 16;
/// What a handler may change (FIX_EFLAGS): AC, OF, DF, TF, SF, ZF, AF, PF, CF, RF.
const FLAGS_RESTORED: u64 = 0x5_0dd5;

/// The stack of sigaltstack(2), as the kernel keeps it (stack_t).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct AltStack {
    /// Lowest address.
    pub base: u64,
    /// SS_DISABLE or SS_AUTODISARM.
    pub flags: u32,
    padding: u32,
    /// Bytes.
    pub size: u64,
}

/// SS_DISABLE of linux/signal.h.
const SS_DISABLE: u32 = 2;
/// SS_ONSTACK.
const SS_ONSTACK: u32 = 1;
/// SS_AUTODISARM.
const SS_AUTODISARM: u32 = 1 << 31;

impl Default for AltStack {
    fn default() -> Self {
        Self {
            base: 0,
            flags: SS_DISABLE,
            padding: 0,
            size: 0,
        }
    }
}

impl AltStack {
    /// What a program starts with: handlers see no SS_DISABLE in their context, unlike in other threads.
    pub(crate) const NEVER_SET: Self = Self {
        base: 0,
        flags: 0,
        padding: 0,
        size: 0,
    };

    fn contains(&self, sp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && sp > self.base && sp - self.base <= self.size
    }

    fn enabled(&self) -> bool {
        self.size != 0
    }

    /// As sigaltstack(2) shows it to a thread whose stack pointer is `sp`.
    pub(crate) fn shown(&self, sp: u64) -> Self {
        let state = match (self.enabled(), self.contains(sp)) {
            (false, _) => SS_DISABLE,
            (true, true) => SS_ONSTACK,
            (true, false) => 0,
        };
        Self {
            flags: state | (self.flags & SS_AUTODISARM),
            ..*self
        }
    }

    /// What sigaltstack(2) with `new` makes of it.
    ///
    /// # Errors
    /// EPERM on the alternate stack itself, EINVAL for unknown flags, ENOMEM for too small a stack.
    pub(crate) fn replaced(&self, new: &Self, sp: u64) -> Result<Self, i32> {
        if self.enabled() && self.contains(sp) {
            return Err(libc::EPERM);
        }
        match new.flags & !SS_AUTODISARM {
            SS_DISABLE => Ok(Self::default()),
            0 | SS_ONSTACK if new.size < MIN_STACK => Err(libc::ENOMEM),
            0 | SS_ONSTACK => Ok(Self {
                flags: new.flags & SS_AUTODISARM,
                padding: 0,
                ..*new
            }),
            _ => Err(libc::EINVAL),
        }
    }
}

/// struct sigcontext_64, and around it struct ucontext.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Context {
    flags: u64,
    link: u64,
    stack: AltStack,
    /// r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags.
    regs: [u64; 18],
    cs: u16,
    gs: u16,
    fs: u16,
    ss: u16,
    error: u64,
    trap: u64,
    old_mask: u64,
    cr2: u64,
    fpstate: u64,
    reserved: [u64; 8],
    mask: u64,
}

#[derive(Debug, Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct Frame {
    return_address: u64,
    context: Context,
    info: [u8; 128],
}

const _: () = assert!(size_of::<Context>() == 304 && size_of::<Frame>() == 440);

/// struct _fpx_sw_bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct SoftwareBytes {
    magic1: u32,
    extended_size: u32,
    features: u64,
    xstate_size: u32,
    padding: [u32; 7],
}

fn saved(r: &kvm_regs) -> [u64; 18] {
    [
        r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx,
        r.rax, r.rcx, r.rsp, r.rip, r.rflags,
    ]
}

fn restored(s: &[u64; 18], r: &mut kvm_regs) {
    let flags = (r.rflags & !FLAGS_RESTORED) | (s[17] & FLAGS_RESTORED);
    [
        r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx,
        r.rax, r.rcx, r.rsp, r.rip,
    ] = *s.first_chunk().unwrap_or(&[0; 17]);
    r.rflags = flags;
}

/// The vector state that a program and every handler starts with: FCW 0x37f, MXCSR 0x1f80.
pub(crate) fn initial_xsave() -> Box<kvm_xsave> {
    let mut state = Box::new(kvm_xsave::default());
    state.region[0] = 0x037f;
    state.region[6] = 0x1f80;
    // XSTATE_BV: x87 and SSE are given, all else is in its initial state.
    state.region[128] = 3;
    state
}

fn xsave_bytes(state: &kvm_xsave) -> Vec<u8> {
    state
        .region
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect()
}

/// Makes the thread enter `action`'s handler for `info`. `(trap, error, cr2)` as the context shows.
///
/// # Errors
/// When the frame cannot be written.
pub(crate) fn push(
    thread: &mut GuestThread,
    info: &SigInfo,
    action: &KernelAction,
    (trap, error, cr2): (u64, u64, u64),
) -> Result<(), BadAddress> {
    let mut regs = *thread.vcpu.regs();
    if let Some((original, _)) = thread.process.memory.call_sites().original(regs.rip) {
        regs.rip = original;
    }
    let alt = thread.signals.alt_stack;
    let mut sp = regs.rsp.wrapping_sub(REDZONE);
    let on_alt = alt.contains(regs.rsp);
    let enter_alt = action.flags & libc::SA_ONSTACK as u64 != 0 && alt.enabled() && !on_alt;
    if enter_alt {
        sp = alt.base.wrapping_add(alt.size);
    }
    let xstate = thread.process.machine.cpu().xstate;
    let fpstate = sp.wrapping_sub(u64::from(xstate.size) + 4) & !63;
    let at = (fpstate.wrapping_sub(size_of::<Frame>() as u64) & !15).wrapping_sub(8);
    if at >= USER_END || ((on_alt || enter_alt) && !alt.contains(at)) {
        return Err(BadAddress);
    }
    write_fpstate(thread, fpstate)?;
    let context = Context {
        flags: UC_FLAGS,
        link: 0,
        stack: alt,
        regs: saved(&regs),
        cs: USER_CS,
        gs: 0,
        fs: 0,
        ss: USER_DS,
        error,
        trap,
        old_mask: thread.signals.mask,
        cr2,
        fpstate,
        reserved: [0; 8],
        mask: thread.signals.mask,
    };
    let frame = Frame {
        return_address: action.restorer,
        context,
        info: info.0,
    };
    guest_memory::write(at, &frame)?;
    thread.kernel_wrote(at, size_of::<Frame>() as u64);
    // Only now: a failed frame must leave the state for the one that follows.
    thread
        .vcpu
        .set_xsave(&initial_xsave())
        .map_err(|_| BadAddress)?;
    if alt.flags & SS_AUTODISARM != 0 {
        thread.signals.alt_stack = AltStack::default();
    }
    let context_at = at + 8;
    let r = thread.vcpu.regs_mut();
    (r.rip, r.rsp, r.rax) = (action.handler, at, 0);
    r.rdi = info.signal() as u64;
    (r.rsi, r.rdx) = (context_at + size_of::<Context>() as u64, context_at);
    r.rflags &= !(FLAG_DIRECTION | FLAG_RESUME | FLAG_TRAP);
    Ok(())
}

fn write_fpstate(thread: &GuestThread, at: u64) -> Result<(), BadAddress> {
    let xstate = thread.process.machine.cpu().xstate;
    let state = thread.vcpu.xsave().map_err(|_| BadAddress)?;
    let mut bytes = xsave_bytes(&state);
    bytes.truncate(xstate.size as usize);
    // Without XSAVE the kernel writes a bare FXSAVE area.
    if xstate.features != 0 {
        let software = SoftwareBytes {
            magic1: FP_XSTATE_MAGIC1,
            extended_size: xstate.size + 4,
            features: xstate.features,
            xstate_size: xstate.size,
            padding: [0; 7],
        };
        bytes[FX_SOFTWARE..FX_AREA].copy_from_slice(software.as_bytes());
        bytes.extend(FP_XSTATE_MAGIC2.to_le_bytes());
    }
    guest_memory::write_bytes(at, &bytes)?;
    thread.kernel_wrote(at, bytes.len() as u64);
    Ok(())
}

/// rt_sigreturn(2): the state that the frame at the stack pointer holds, as the handler left it.
///
/// # Errors
/// When the frame cannot be read or holds an impossible state.
pub(crate) fn pop(thread: &mut GuestThread) -> Result<(), BadAddress> {
    // The handler's return took the first word off.
    let context: Context = guest_memory::read(thread.vcpu.regs().rsp)?;
    restore_fpstate(thread, context.fpstate)?;
    restored(&context.regs, thread.vcpu.all_regs_mut());
    thread.set_signal_mask(context.mask);
    let sp = thread.vcpu.regs().rsp;
    if let Ok(stack) = thread.signals.alt_stack.replaced(&context.stack, sp) {
        thread.signals.alt_stack = stack;
    }
    Ok(())
}

fn restore_fpstate(thread: &mut GuestThread, at: u64) -> Result<(), BadAddress> {
    if at == 0 {
        return thread
            .vcpu
            .set_xsave(&initial_xsave())
            .map_err(|_| BadAddress);
    }
    let xstate = thread.process.machine.cpu().xstate;
    let mut bytes = vec![0u8; size_of::<kvm_xsave>()];
    guest_memory::read_bytes(at, &mut bytes[..FX_AREA])?;
    let software = SoftwareBytes::read_from_bytes(&bytes[FX_SOFTWARE..FX_AREA])
        .unwrap_or_else(|_| SoftwareBytes::new_zeroed());
    let size = software.xstate_size;
    if software.magic1 == FP_XSTATE_MAGIC1 && (576..=xstate.size).contains(&size) {
        guest_memory::read_bytes(at, &mut bytes[..size as usize])?;
        let header: u64 = u64::from_le_bytes(bytes[512..520].try_into().unwrap_or_default());
        let allowed = header & software.features & xstate.features;
        bytes[512..520].copy_from_slice(&allowed.to_le_bytes());
    } else {
        // An old frame: x87 and SSE only.
        bytes[512..520].copy_from_slice(&3u64.to_le_bytes());
    }
    bytes[FX_SOFTWARE..FX_AREA].fill(0);
    let mut state = Box::new(kvm_xsave::default());
    for (word, chunk) in state.region.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes(chunk.try_into().unwrap_or_default());
    }
    thread.vcpu.set_xsave(&state).map_err(|_| BadAddress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alternate_stack_is_checked_as_the_kernel_does() {
        let none = AltStack::default();
        let new = |flags, size| AltStack {
            base: 0x1000,
            flags,
            padding: 0,
            size,
        };
        assert_eq!(
            none.replaced(&new(0, 100), 0x9000).err(),
            Some(libc::ENOMEM)
        );
        assert_eq!(
            none.replaced(&new(64, 8192), 0x9000).err(),
            Some(libc::EINVAL)
        );
        let set = none.replaced(&new(0, 8192), 0x9000).unwrap();
        assert_eq!(set.shown(0x9000).flags, 0);
        assert_eq!(set.shown(0x2000).flags, SS_ONSTACK);
        assert_eq!(set.replaced(&none, 0x2000).err(), Some(libc::EPERM));
    }

    #[test]
    fn registers_survive_a_frame() {
        let regs = kvm_regs {
            rax: 1,
            r15: 2,
            rsp: 3,
            rip: 4,
            rflags: 0x246,
            ..Default::default()
        };
        let mut back = kvm_regs {
            rflags: 0x202,
            ..Default::default()
        };
        restored(&saved(&regs), &mut back);
        assert_eq!(back, regs);
    }
}
