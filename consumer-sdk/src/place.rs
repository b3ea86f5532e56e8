//! Where a segment's file is: in /dev/shm as it is named now, or in the directory that was that once.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::{fs, io};

/// Where named segments appear as files.
const SHM_DIR: &str = "/dev/shm";

/// The file of the segment with this name (without a slash).
pub(crate) fn path_of(name: &str) -> PathBuf {
    PathBuf::from(SHM_DIR).join(name)
}

/// Which file of a file system it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of the file with an open descriptor of that number, if there is one.
    pub(crate) fn of_number(descriptor: i32) -> Option<Self> {
        // SAFETY: an all-zero stat is a valid value of that plain C structure.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: fstat fills the live `stat` of our own, or fails for a number that is not open.
        let known = unsafe { libc::fstat(descriptor, &raw mut stat) } == 0;
        known.then_some(Self::from(&stat))
    }
}

impl From<&fs::Metadata> for Identity {
    fn from(facts: &fs::Metadata) -> Self {
        Self {
            device: facts.dev(),
            inode: facts.ino(),
        }
    }
}

impl From<&libc::stat> for Identity {
    fn from(stat: &libc::stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

/// A name, and the directory that it is in.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In /dev/shm, whatever that is now.
    Path(PathBuf),
    /// In the directory that was /dev/shm once, for a process that has another root by now.
    Elsewhere(Elsewhere),
}

/// A name in a directory that was opened earlier.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    directory: BorrowedFd<'static>,
    name: String,
}

impl Place {
    /// The segment of this name in `directory`, or in /dev/shm where that is the same or there is none.
    pub(crate) fn new(name: &str, directory: Option<BorrowedFd<'static>>) -> Self {
        match directory {
            Some(directory) if !is_shm_dir(directory) => {
                let name = name.to_owned();
                Self::Elsewhere(Elsewhere { directory, name })
            }
            _ => Self::Path(path_of(name)),
        }
    }

    /// How it is called in messages.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            Self::Elsewhere(place) => path_of(&place.name),
        }
    }

    /// Opens what is there for reading: neither a link that leads elsewhere, nor a FIFO that holds us up.
    ///
    /// # Errors
    /// What openat(2) says.
    pub(crate) fn open(&self) -> io::Result<File> {
        const FLAGS: i32 = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
        match self {
            Self::Path(path) => File::options().read(true).custom_flags(FLAGS).open(path),
            Self::Elsewhere(place) => place.open(libc::O_RDONLY | FLAGS),
        }
    }

    /// The file that the name leads to now.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match self {
            Self::Path(path) => Some(Identity::from(&fs::symlink_metadata(path).ok()?)),
            Self::Elsewhere(place) => place.identity(),
        }
    }

    /// Takes the name away, whatever it leads to.
    ///
    /// # Errors
    /// What unlinkat(2) says.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match self {
            Self::Path(path) => fs::remove_file(path),
            Self::Elsewhere(place) => place.remove(),
        }
    }
}

impl Elsewhere {
    /// Creates the file, mode 0600 less the umask.
    ///
    /// # Errors
    /// What openat(2) says: `AlreadyExists` when the name is taken.
    pub(crate) fn create(&self) -> io::Result<File> {
        self.open(libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC)
    }

    fn c_name(&self) -> CString {
        CString::new(self.name.as_str()).unwrap_or_default()
    }

    fn open(&self, flags: i32) -> io::Result<File> {
        let (directory, name) = (self.directory.as_raw_fd(), self.c_name());
        // SAFETY: the name is a string for the call; a descriptor that is returned is new.
        unsafe {
            match libc::openat(directory, name.as_ptr(), flags, 0o600) {
                -1 => Err(io::Error::last_os_error()),
                descriptor => Ok(File::from_raw_fd(descriptor)),
            }
        }
    }

    fn identity(&self) -> Option<Identity> {
        let (directory, name) = (self.directory.as_raw_fd(), self.c_name());
        // SAFETY: an all-zero stat is a valid value of that plain C structure.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        // SAFETY: name and `stat` live for the call.
        let known = unsafe { libc::fstatat(directory, name.as_ptr(), &raw mut stat, flags) };
        (known == 0).then_some(Identity::from(&stat))
    }

    fn remove(&self) -> io::Result<()> {
        let (directory, name) = (self.directory.as_raw_fd(), self.c_name());
        // SAFETY: the name is a string for the call.
        match unsafe { libc::unlinkat(directory, name.as_ptr(), 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Whether /dev/shm still is this directory.
fn is_shm_dir(directory: BorrowedFd<'static>) -> bool {
    let named = fs::metadata(SHM_DIR);
    named.is_ok_and(|named| {
        Identity::of_number(directory.as_raw_fd()) == Some(Identity::from(&named))
    })
}
