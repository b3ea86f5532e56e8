//! Executes the launcher with all that it needs to go on with this program as the kernel has started it.
//!
//! ```text
//! argv   vmmload  --preload-handover=FD  name  execfn  argv[0]  argv[1] ...
//! envp   VMMLOAD_HANDOVER=PID, then each string of the environment behind a `_`
//! ```
//!
//! `FD` is the program's file, `name` what ps(1) shows. The `_` keeps the launcher's own loader and C library from
//! acting on what is meant for the program's. Everything else (descriptors, directory, signals, limits ...) is kept by
//! execve(2).

use core::ffi::CStr;

use crate::environment::{self, Environment, HANDOVER};
use crate::kernel::{self, Bytes, Descriptor, Errno, Vector};
use crate::launcher;
use crate::problem::Problem;

const ARGUMENT: &[u8] = b"--preload-handover=";

/// Does it. Returns only if that fails, with everything as it was before.
pub(crate) fn hand_over<'a>(
    path: &'a CStr,
    environment: &Environment,
    execfn: &CStr,
) -> Problem<'a> {
    let arguments = match Bytes::of_file(c"/proc/self/cmdline") {
        Ok(arguments) => arguments,
        Err(errno) => return Problem::Proc("cmdline", errno),
    };
    // It stays open: the launcher moves it out of the way.
    let program = match Descriptor::open(c"/proc/self/exe", kernel::READ_ONLY) {
        Ok(program) => program,
        Err(errno) => return Problem::Unreadable(errno),
    };
    // It takes one more number, and so shows that there is one for the launcher's loader.
    if let Err(problem) = launcher::check_kvm() {
        return problem;
    }
    let strings = numbered(ARGUMENT, program.number())
        .and_then(|argument| Ok((argument, disguised(environment)?)));
    let (argument, environment) = match strings {
        Ok(strings) => strings,
        Err(errno) => return Problem::Memory(errno),
    };
    let name = kernel::name();
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
    let front = environment::strings(&argument).chain([name, execfn]);
    let argv = vector(
        [c"vmmload"]
            .into_iter()
            .chain(front)
            .chain(environment::strings(&arguments)),
    );
    let envp = vector(environment::strings(&environment));
    match (argv, envp) {
        (Ok(argv), Ok(envp)) => {
            Problem::Execute(path.to_bytes(), kernel::execute(path, argv, envp))
        }
        (Err(errno), _) | (_, Err(errno)) => Problem::Memory(errno),
    }
}

fn vector<'a>(strings: impl Iterator<Item = &'a CStr>) -> Result<Vector<'a>, Errno> {
    let mut vector = Vector::new()?;
    for string in strings {
        vector.push(string)?;
    }
    Ok(vector)
}

/// The launcher's environment.
fn disguised(environment: &Environment) -> Result<Bytes, Errno> {
    let mut bytes = numbered(HANDOVER, kernel::process_id())?;
    for string in environment.strings() {
        bytes.push(b"_")?;
        bytes.push(string.to_bytes_with_nul())?;
    }
    Ok(bytes)
}

/// A string that ends with a number.
fn numbered(text: &[u8], number: usize) -> Result<Bytes, Errno> {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let mut bytes = Bytes::new()?;
    [text, &digits[at..], b"\0"]
        .iter()
        .try_for_each(|part| bytes.push(part))?;
    Ok(bytes)
}
