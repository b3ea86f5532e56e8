//! A process and all that descend from it.

use crate::error::{Failure, code_of};
use crate::types::{Process, status_and_detail, timeout, woken};
use core::ffi::c_int;
use core::mem::MaybeUninit;
use sdk::Consumer;

/// What a change is: the process is a member now; its records are there from its start on. A process comes once for
/// each program that it executes.
pub const VMMLOAD_CAME: c_int = 1;
/// What a change is: the process has ended, or executes another program. It is still a member, so that what is left can
/// be read, until the next refresh.
pub const VMMLOAD_WENT: c_int = 2;

/// All processes of one `vmmload run`: the first one, its children, theirs, and the programs that they execute. Each has
/// a vmmload_consumer, which belongs to the session.
#[derive(Debug)]
pub struct Session {
    inner: sdk::Session,
    /// What the last refresh has found.
    changes: Vec<sdk::Change>,
}

/// What a refresh has found.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Change {
    /// Of which process.
    pub process: Process,
    /// VMMLOAD_CAME or VMMLOAD_WENT.
    pub change: c_int,
    /// For VMMLOAD_WENT what vmmload_status returns; else VMMLOAD_RUNNING.
    pub status: c_int,
    /// The detail of that status.
    pub detail: c_int,
    /// 0.
    pub reserved: u32,
}

impl From<sdk::Change> for Change {
    fn from(change: sdk::Change) -> Self {
        let (process, change, status) = match change {
            sdk::Change::Came(process) => (process, VMMLOAD_CAME, sdk::Status::Running),
            sdk::Change::Went(process, status) => (process, VMMLOAD_WENT, status),
        };
        let (status, detail) = status_and_detail(status);
        Self {
            process: process.into(),
            change,
            status,
            detail,
            reserved: 0,
        }
    }
}

/// Opens the session that a process belongs to, with all its processes that are there now, into *out; NULL where that
/// fails. Give it back with vmmload_session_close.
///
/// Returns what vmmload_attach does.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_session_of(
    pid: u32,
    out: Option<&mut MaybeUninit<Option<Box<Session>>>>,
) -> c_int {
    code_of((|| {
        let out = out.ok_or_else(|| Failure::null("out"))?.write(None);
        *out = Some(Box::new(Session {
            inner: sdk::Session::of(pid)?,
            changes: Vec::new(),
        }));
        Ok(0)
    })())
}

/// Attaches to the processes that came, notes those that have ended, and lets go of those that the refresh before had noted:
/// their consumers are detached. Call it now and then, for example whenever vmmload_session_wait returns.
///
/// Returns how many changes there are for vmmload_session_change to show. 0 for NULL.
///
/// Threads: one at a time, and no other function may be using this session or a member.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_session_refresh(session: Option<&mut Session>) -> usize {
    session.map_or(0, |session| {
        session.changes = session.inner.refresh();
        session.changes.len()
    })
}

/// Puts one of the changes that the last refresh has found into *out.
///
/// Returns 1, or 0 where there are no more, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once, with functions that take a const session.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_session_change(
    session: Option<&Session>,
    index: usize,
    out: Option<&mut MaybeUninit<Change>>,
) -> c_int {
    code_of((|| {
        let session = session.ok_or_else(|| Failure::null("session"))?;
        let out = out.ok_or_else(|| Failure::null("out"))?;
        let change = session.changes.get(index);
        let change = change.map(|&change| out.write(change.into()));
        Ok(c_int::from(change.is_some()))
    })())
}

/// How many members there are: processes that run, and those whose end the last refresh has found. 0 for NULL.
///
/// Threads: several at once, with functions that take a const session.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_session_count(session: Option<&Session>) -> usize {
    session.map_or(0, |session| session.inner.members().count())
}

/// The consumer of a member, in the order in which they were found. NULL where there are no more, and for NULL.
///
/// It belongs to the session: do not detach it. It is valid until the member has gone: until the refresh behind the one
/// that found its end, or vmmload_session_close.
///
/// Threads: one at a time, and no other function may be using this session. Members themselves are consumers like any
/// other: different threads may use different ones.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_session_member(
    session: Option<&mut Session>,
    index: usize,
) -> Option<&mut Consumer> {
    session?.inner.members_mut().nth(index)
}

/// Sleeps until one of the processes has something to read, a process came or went, or timeout_ns nanoseconds are over;
/// without end where that is negative. VMMLOAD_OVER means that no process is left.
///
/// Returns VMMLOAD_NEWS, VMMLOAD_TIMED_OUT, VMMLOAD_OVER or -VMMLOAD_E_ARGUMENT.
///
/// Threads: one at a time, and no other function may be using this session or a member.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_session_wait(session: Option<&mut Session>, timeout_ns: i64) -> c_int {
    code_of(
        session
            .map(|session| woken(session.inner.wait(timeout(timeout_ns))))
            .ok_or_else(|| Failure::null("session")),
    )
}

/// How many processes came and went between two refreshes, so that nothing of them could be read. Those of which only
/// their parents' ring of children could tell, and whose record there was overwritten, are not among them. 0 for NULL.
///
/// Threads: several at once, with functions that take a const session.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_session_missed(session: Option<&Session>) -> u64 {
    session.map_or(0, |session| session.inner.missed())
}

/// Puts the first process, whether it is still there or not, into *out.
///
/// Returns 0 or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once, with functions that take a const session.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_session_first(
    session: Option<&Session>,
    out: Option<&mut MaybeUninit<Process>>,
) -> c_int {
    code_of((|| {
        let session = session.ok_or_else(|| Failure::null("session"))?;
        let out = out.ok_or_else(|| Failure::null("out"))?;
        out.write(session.inner.id().into());
        Ok(0)
    })())
}

/// Gives a session back, with the consumers of its members. NULL is fine.
///
/// Threads: any, but no other function may be using this session or a member.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_session_close(session: Option<Box<Session>>) {
    drop(session);
}
