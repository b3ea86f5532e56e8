//! Why a program is not handed over, and what happens then: one line, and it runs natively; or, where the user
//! asked for that, it does not run.

use crate::environment::Required;
use crate::kernel::{self, Errno};

/// Exit status of vmmload's own failures, as env(1) has it.
const OWN_FAILURE: usize = 125;

/// What is in the way.
#[derive(Clone, Copy)]
pub(crate) enum Problem<'a> {
    /// A file of `/proc` that tells what the kernel has started.
    Proc(&'static str, Errno),
    /// The program's own file.
    Unreadable(Errno),
    /// The launcher that VMMLOAD_LAUNCHER names.
    Named(&'a [u8], Errno),
    /// VMMLOAD_LAUNCHER depends on the current directory.
    Relative(&'a [u8]),
    /// No launcher near the library, which lies in this directory.
    NoneNear(&'a [u8]),
    /// `/dev/kvm` cannot be opened.
    Kvm(Errno),
    /// `/dev/kvm` is something else.
    KvmVersion,
    /// No memory for the arguments.
    Memory(Errno),
    /// The launcher cannot be executed.
    Execute(&'a [u8], Errno),
    /// VMMLOAD_REQUIRE is neither 1 nor 0.
    Requirement(&'a [u8]),
}

const ENOENT: usize = 2;
const E2BIG: usize = 7;
const EACCES: usize = 13;
const EMFILE: usize = 24;

impl<'a> Problem<'a> {
    /// A file of `/proc` cannot be read. Of a program whose own file may not be, nothing may.
    pub(crate) fn reading_own(file: &'static str, errno: Errno) -> Self {
        match errno {
            Errno(EACCES) => Self::Unreadable(errno),
            _ => Self::Proc(file, errno),
        }
    }

    /// What is wrong, and the kernel's word on it.
    fn reason(self) -> ([&'a [u8]; 3], Option<Errno>) {
        let one = |text: &'a str| [text.as_bytes(), b"", b""];
        match self {
            Self::Proc(file, errno) => (
                [b"/proc/self/", file.as_bytes(), b" cannot be read"],
                Some(errno),
            ),
            Self::Unreadable(errno) => (one("the program's file cannot be read"), Some(errno)),
            Self::Named(path, errno) => (
                [b"VMMLOAD_LAUNCHER=", path, b" cannot be executed"],
                Some(errno),
            ),
            Self::Relative(path) => ([b"VMMLOAD_LAUNCHER=", path, b" is no absolute path"], None),
            Self::NoneNear(directory) => (
                [b"there is no vmmload in ", directory, b" or near it"],
                None,
            ),
            Self::Kvm(Errno(ENOENT)) => (one("/dev/kvm does not exist"), None),
            Self::Kvm(Errno(EACCES)) => (one("/dev/kvm may not be opened by this user"), None),
            Self::Kvm(errno) => (one("/dev/kvm cannot be opened"), Some(errno)),
            Self::KvmVersion => (one("/dev/kvm does not speak KVM's API version 12"), None),
            Self::Memory(errno) => (one("no memory for handing the program over"), Some(errno)),
            Self::Execute(_, Errno(E2BIG)) => (
                one("arguments and environment have no room for those of vmmload"),
                None,
            ),
            Self::Execute(path, errno) => ([path, b" cannot be executed", b""], Some(errno)),
            Self::Requirement(value) => {
                ([b"VMMLOAD_REQUIRE=", value, b" is neither 1 nor 0"], None)
            }
        }
    }

    /// What to do about it.
    fn remedy(self) -> &'static str {
        match self {
            Self::Proc(..) => "Mount /proc, or use: vmmload run COMMAND",
            Self::Kvm(Errno(EMFILE)) | Self::Unreadable(Errno(EMFILE)) => "Raise ulimit -n",
            Self::Unreadable(_) => {
                "vmmload must read a program to load it: make it readable, or unset LD_PRELOAD for it"
            }
            Self::Named(..) | Self::Relative(_) => {
                "Set it to the absolute path of vmmload, or unset it where vmmload lies beside the library"
            }
            Self::NoneNear(_) => "Set VMMLOAD_LAUNCHER to the absolute path of vmmload",
            Self::Kvm(Errno(EACCES)) => {
                "Join its group (usermod -aG kvm USER, then log in again) or ask for access to the device"
            }
            Self::Kvm(_) | Self::KvmVersion => "vmmload doctor tells more",
            Self::Memory(_) => "Raise the limit (ulimit -v)",
            Self::Execute(_, Errno(E2BIG)) => "Shorten them or raise ulimit -s",
            Self::Execute(..) => "Check that file",
            Self::Requirement(_) => {
                "Set it to 1 to have programs fail where they cannot be wrapped, or unset it"
            }
        }
    }

    /// Says it, in one line. Returns where the program may run natively.
    pub(crate) fn settle(self, required: Required) {
        let ([a, b, c], errno) = self.reason();
        let mut digits = [0; 24];
        let (colon, cause) = match errno {
            Some(errno) => (&b": "[..], errno.text(&mut digits)),
            None => (&b""[..], &b""[..]),
        };
        let is_wrong = matches!(self, Self::Requirement(_));
        let consequence = match required {
            _ if is_wrong => ". ",
            Required::Yes => ", and VMMLOAD_REQUIRE=1 is set. ",
            Required::No => "; the program runs natively. ",
        };
        kernel::say([
            b"vmmload: ",
            a,
            b,
            c,
            colon,
            cause,
            consequence.as_bytes(),
            self.remedy().as_bytes(),
            b"\n",
        ]);
        if is_wrong || required == Required::Yes {
            kernel::exit(OWN_FAILURE);
        }
    }
}

impl Errno {
    /// In words, where it is one that is to be expected.
    fn text(self, digits: &mut [u8; 24]) -> &[u8] {
        match self.0 {
            ENOENT => b"No such file or directory",
            8 => b"Exec format error",
            12 => b"Cannot allocate memory",
            1 => b"Operation not permitted",
            EACCES => b"Permission denied",
            20 => b"Not a directory",
            EMFILE => b"Too many open files",
            26 => b"Text file busy",
            40 => b"Too many levels of symbolic links",
            number => {
                let (mut at, mut rest) = (digits.len(), number);
                while rest > 0 {
                    at -= 1;
                    digits[at] = b'0' + (rest % 10) as u8;
                    rest /= 10;
                }
                at -= b"error ".len();
                digits[at..at + 6].copy_from_slice(b"error ");
                &digits[at..]
            }
        }
    }
}
