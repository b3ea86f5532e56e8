//! What the process was started with, exactly: Rust's own start-up code never runs (it would ignore
//! SIGPIPE, install signal handlers and open closed descriptors, all of which the program would
//! inherit).

use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Arguments, environment and auxiliary vector as the kernel passed them.
pub(crate) struct Inherited {
    /// Arguments, our own name first.
    pub args: Vec<OsString>,
    /// Environment, in order.
    pub envp: Vec<CString>,
    /// Auxiliary vector, with its final AT_NULL.
    pub auxv: Vec<(u64, u64)>,
    /// Path that execve(2) was given: AT_EXECFN.
    pub execfn: PathBuf,
}

impl Inherited {
    /// Copies what main was given.
    ///
    /// # Safety
    /// The arguments are those of a C main on Linux: argv has `argc` strings, envp ends with a null
    /// pointer, and the auxiliary vector follows it on the initial stack.
    pub(crate) unsafe fn collect(
        argc: c_int,
        argv: *const *const c_char,
        envp: *const *const c_char,
    ) -> Self {
        // SAFETY: as the caller promises; every read stays within the vectors' terminators.
        unsafe {
            let args = (0..argc as usize)
                .map(|i| OsString::from_vec(CStr::from_ptr(*argv.add(i)).to_bytes().to_vec()))
                .collect();
            let mut at = envp;
            let mut environment = Vec::new();
            while !(*at).is_null() {
                environment.push(CStr::from_ptr(*at).to_owned());
                at = at.add(1);
            }
            let mut pair = at.add(1).cast::<u64>();
            let mut auxv = Vec::new();
            loop {
                auxv.push((*pair, *pair.add(1)));
                if *pair == libc::AT_NULL {
                    break;
                }
                pair = pair.add(2);
            }
            let execfn = auxv.iter().find(|(kind, _)| *kind == libc::AT_EXECFN);
            let execfn = execfn.map(|(_, path)| CStr::from_ptr(*path as *const c_char));
            Self {
                args,
                envp: environment,
                auxv,
                execfn: PathBuf::from(OsStr::from_bytes(execfn.unwrap_or_default().to_bytes())),
            }
        }
    }

    /// An environment variable, as getenv(3) finds it.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = |string: &CStr| -> Option<usize> {
            let rest = string.to_bytes().strip_prefix(name.as_bytes())?;
            rest.starts_with(b"=").then_some(name.len() + 1)
        };
        let mut strings = self.envp.iter();
        strings.find_map(|string| Some(OsStr::from_bytes(&string.as_bytes()[value(string)?..])))
    }
}
