//! What the kernel shows of this process under /proc: the program's strings instead of ours.

use zerocopy::FromBytes;

use super::relay;
use crate::process::stack::Strings;

/// struct prctl_mm_map of linux/prctl.h.
#[repr(C)]
#[derive(Default, FromBytes)]
pub(crate) struct MmMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// PR_SET_MM_MAP of linux/prctl.h.
pub(crate) const PR_SET_MM_MAP: u64 = 14;

/// Position in /proc/PID/stat, counted from the field behind the command's name (proc(5): field
/// 3 is the first of these).
const FIRST_FIELD: usize = 3;

/// Has /proc/PID/cmdline, environ and auxv show the program's. Where the kernel does not allow it
/// (no CONFIG_CHECKPOINT_RESTORE), they go on showing vmmload's.
pub(crate) fn show_strings(strings: &Strings) {
    let _ = set(MmMap {
        start_stack: strings.pointer,
        arg_start: strings.arguments.start,
        arg_end: strings.arguments.end,
        env_start: strings.environment.start,
        env_end: strings.environment.end,
        auxv: strings.auxv.start,
        auxv_size: (strings.auxv.end - strings.auxv.start) as u32,
        exe_fd: u32::MAX,
        ..MmMap::default()
    });
}

/// Sets what /proc shows, but for code, data and heap: those stay the launcher's, whose malloc lives there.
///
/// # Errors
/// What prctl(2) says.
pub(crate) fn set(map: MmMap) -> Result<u64, i32> {
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(|_| libc::EPERM)?;
    let (_, fields) = stat.rsplit_once(") ").ok_or(libc::EPERM)?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |number: usize| -> u64 {
        fields
            .get(number - FIRST_FIELD)
            .and_then(|f| f.parse().ok())
            .unwrap_or(0)
    };
    // SAFETY: sbrk(0) only asks.
    let brk = unsafe { libc::sbrk(0) } as u64;
    let map = MmMap {
        start_code: field(26),
        end_code: field(27),
        start_data: field(45),
        end_data: field(46),
        start_brk: field(47),
        brk,
        ..map
    };
    let args = [
        libc::PR_SET_MM as u64,
        PR_SET_MM_MAP,
        &raw const map as u64,
        size_of::<MmMap>() as u64,
        0,
        0,
    ];
    // SAFETY: `map` is readable for the call, which copies it.
    relay::check(unsafe { relay::raw(libc::SYS_prctl, args) })
}
