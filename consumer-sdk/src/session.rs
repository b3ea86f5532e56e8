//! A process and all that descend from it, as they come and go.

use crate::attach::AttachError;
use crate::consumer::{Consumer, Status, Woken};
use crate::list::segments;
use crate::memory::path_of;
use crate::sys;
use crate::wire::Child;
use crate::words::{End, ProcessId};
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

/// Longest sleep without a look at which segments there are.
const LOOK: Duration = Duration::from_millis(100);

/// The same while a segment is about to come: what it tells may be short-lived.
const LOOK_SOON: Duration = Duration::from_millis(2);

/// All processes of one `vmmload run`: the first one, its children, theirs, and the programs that they execute.
///
/// Each has a [`Consumer`] of its own. Call [`Self::refresh`] now and then, for example whenever
/// [`Self::wait`] returns: it attaches to those that came and reports those that went.
///
/// ```no_run
/// use vmmload_consumer::{Session, Woken};
///
/// let mut session = Session::of(4711)?;
/// while session.wait(None) != Woken::Over {
///     for change in session.refresh() {
///         println!("{change:?}");
///     }
///     for process in session.members_mut() {
///         let events = process.drain().count();
///         println!("{}: {events} records", process.pid());
///     }
/// }
/// # Ok::<(), vmmload_consumer::AttachError>(())
/// ```
#[derive(Debug)]
pub struct Session {
    id: ProcessId,
    /// The user whose process was asked for.
    owner: u32,
    members: Vec<Member>,
    /// Segments that were looked at: pid and inode. Those that are gone are forgotten.
    known: HashSet<(u32, u64)>,
    /// Children whose parents told of them, and that have not come yet.
    announced: HashSet<ProcessId>,
    /// Members of whom no parent has told yet.
    came: HashSet<ProcessId>,
    /// Members that execute another program, whose segment has not come yet.
    between: HashSet<ProcessId>,
    missed: u64,
    /// When the directory had last changed at the last look.
    looked: Option<SystemTime>,
    /// A segment was still being made at the last look: nothing in the directory tells when it is ready.
    unready: bool,
}

#[derive(Debug)]
struct Member {
    /// Stays where it is while others come and go: C programs have its address.
    consumer: Box<Consumer>,
    /// Its end was reported.
    went: bool,
}

/// What [`Session::refresh`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// This process is a member now; its records are there from its start on. A process comes once for each
    /// program that it executes.
    Came(ProcessId),
    /// This process has ended, or executes another program. It is still a member, so that what is left
    /// can be read, until the next refresh.
    Went(ProcessId, Status),
}

impl Session {
    /// The session that a process belongs to, with all its processes that are there now.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn of(pid: u32) -> Result<Self, AttachError> {
        let first = Consumer::attach(pid)?;
        let mut session = Self {
            id: first.session(),
            owner: first.owner(),
            members: Vec::new(),
            known: HashSet::new(),
            announced: HashSet::new(),
            came: HashSet::new(),
            between: HashSet::new(),
            missed: 0,
            looked: None,
            unready: false,
        };
        session.attach_new(&mut Vec::new());
        Ok(session)
    }

    /// The first process, whether it is still there or not.
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// Attaches to the processes that came, reports those that have ended, and lets go of those that were
    /// reported by the refresh before.
    pub fn refresh(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.members.retain(|member| !member.went);
        // Looked at first: who forks and ends at once has told of its children by then.
        self.note_ends(&mut changes);
        self.attach_new(&mut changes);
        for member in self.members.iter().filter(|member| !member.went) {
            self.between.remove(&member.consumer.id());
        }
        self.note_children();
        changes
    }

    /// The processes, each with what it has to read, in the order in which they were found.
    pub fn members(&self) -> impl Iterator<Item = &Consumer> {
        self.members.iter().map(|member| &*member.consumer)
    }

    /// See [`Self::members`].
    pub fn members_mut(&mut self) -> impl Iterator<Item = &mut Consumer> {
        let members = self.members.iter_mut();
        members.map(|member| &mut *member.consumer)
    }

    /// How many processes, or programs that they executed, came and went between two refreshes, so that nothing of
    /// them could be read. Those of which only their parents' ring of children could tell, and whose record there was
    /// overwritten, are not among them.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Sleeps until one of the processes has something to read, a process came or went, or `timeout` is over.
    /// [`Woken::Over`] when no process is left, none is about to come, and everything was read.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Woken {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let words: Vec<_> = self.members().map(Consumer::news).collect();
            let seen = words.iter().map(|&(_, seen)| seen);
            if let Some(woken) = self.look(seen) {
                return woken;
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Woken::TimedOut;
            }
            let none_comes = self.between.is_empty() && self.announced.is_empty();
            let slice = match none_comes && !self.unready {
                true => LOOK,
                false => LOOK_SOON,
            };
            sys::futex_wait_any(&words, left.map_or(slice, |left| left.min(slice)));
            if self.unready {
                return Woken::News;
            }
        }
    }

    fn look(&self, seen: impl Iterator<Item = u32>) -> Option<Woken> {
        // Each is asked: what one has told would wake up again for another.
        let news = self.members().zip(seen);
        let news = news.fold(false, |any, (member, seen)| any | member.has_news(seen));
        if news || directory_changed() != self.looked {
            return Some(Woken::News);
        }
        let mut running = false;
        for member in &self.members {
            match member.consumer.status() {
                Status::Running => running = true,
                _ if !member.went => return Some(Woken::News),
                _ => {}
            }
        }
        let is_coming = |process: &ProcessId| sys::is_alive(process.pid, process.start);
        let mut coming = self.between.iter().chain(&self.announced);
        (!running && !coming.any(is_coming)).then_some(Woken::Over)
    }

    fn note_ends(&mut self, changes: &mut Vec<Change>) {
        for member in &mut self.members {
            let status = member.consumer.status();
            if status != Status::Running {
                member.went = true;
                if status == Status::Ended(End::Replaced) {
                    self.between.insert(member.consumer.id());
                }
                changes.push(Change::Went(member.consumer.id(), status));
            }
        }
    }

    fn attach_new(&mut self, changes: &mut Vec<Change>) {
        self.looked = directory_changed();
        self.unready = false;
        let mut present = HashSet::new();
        for (pid, inode) in segments() {
            let is_known = self.known.contains(&(pid, inode));
            if is_known || self.attach(pid, inode, changes) {
                present.insert((pid, inode));
            }
        }
        self.known = present;
    }

    /// Attaches to one segment if it belongs here. False if it cannot be told yet.
    fn attach(&mut self, pid: u32, inode: u64, changes: &mut Vec<Change>) -> bool {
        let consumer = match Consumer::attach(pid) {
            Ok(consumer) => consumer,
            Err(AttachError::NotReady { .. }) => {
                // One that died over it never will be.
                self.unready |= sys::is_alive(pid, 0);
                return false;
            }
            Err(AttachError::NotFound { .. }) => return false,
            Err(_) => return true,
        };
        // Anybody can say that they belong here. Only root's processes become other users'.
        let is_trusted = [0, consumer.owner()].contains(&self.owner) || consumer.owner() == 0;
        if is_trusted && consumer.session() == self.id {
            let id = consumer.id();
            if !self.announced.remove(&id) {
                self.came.insert(id);
            }
            self.members.push(Member {
                consumer: Box::new(consumer),
                went: false,
            });
            changes.push(Change::Came(id));
        }
        // Its name may lead to the next segment by now.
        fs::metadata(path_of(&crate::segment_name(pid))).is_ok_and(|file| file.ino() == inode)
    }

    /// Finds out which children, and which programs that a process executes, never came.
    fn note_children(&mut self) {
        for member in &mut self.members {
            for Child { process, .. } in member.consumer.new_children() {
                if process.pid != 0 && !self.came.remove(&process) {
                    self.announced.insert(process);
                }
            }
        }
        for coming in [&mut self.announced, &mut self.between] {
            let before = coming.len();
            coming.retain(|process| sys::is_alive(process.pid, process.start));
            self.missed += (before - coming.len()) as u64;
        }
        // Whoever is no member any more was announced long ago, or never will be.
        let members: HashSet<_> = self.members().map(Consumer::id).collect();
        self.came.retain(|process| members.contains(process));
    }
}

impl Change {
    /// Whether a program follows in the same process, with a segment of its own.
    pub fn is_replaced(&self) -> bool {
        matches!(self, Self::Went(_, Status::Ended(End::Replaced)))
    }
}

/// Changes when a segment comes or goes.
fn directory_changed() -> Option<SystemTime> {
    let read = || -> io::Result<SystemTime> { fs::metadata(path_of(""))?.modified() };
    read().ok()
}
