//! The live processes that are watched, as they come and go.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use vmmload_consumer::{AttachError, Consumer, ProcessId, Status, segment_files};

/// Which processes belong to a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// This user's; for root, everybody's.
    Own,
    /// Those, and what others share.
    Readable,
    /// All of one `vmmload run`.
    Session(ProcessId),
}

impl Scope {
    /// The session of a process.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub(crate) fn of_process(pid: u32) -> Result<Self, AttachError> {
        Consumer::attach(pid).map(|consumer| Self::Session(consumer.session()))
    }

    fn contains(self, consumer: &Consumer, user: u32) -> bool {
        match self {
            Self::Readable => true,
            Self::Own => user == 0 || consumer.owner() == user,
            Self::Session(session) => consumer.session() == session,
        }
    }
}

/// All processes in scope, each with a consumer and what its watcher keeps of it.
#[derive(Debug)]
pub(crate) struct Fleet<T> {
    scope: Scope,
    user: u32,
    members: Vec<Member<T>>,
    /// Pid and inode of the segments that need no further look.
    looked_at: HashSet<(u32, u64)>,
}

/// One process; one that executes another program is another member.
#[derive(Debug)]
pub(crate) struct Member<T> {
    pub(crate) consumer: Consumer,
    /// As of the last refresh. One that does not run any more stays until the next one, so that what is left can
    /// be read.
    pub(crate) status: Status,
    pub(crate) kept: T,
}

impl<T> Fleet<T> {
    /// Of nobody yet: see [`Self::refresh`].
    pub(crate) fn new(scope: Scope) -> Self {
        // The owner of its own directory there is the effective user.
        let user = std::fs::metadata("/proc/self").map_or(u32::MAX, |facts| facts.uid());
        Self {
            scope,
            user,
            members: Vec::new(),
            looked_at: HashSet::new(),
        }
    }

    /// Lets go of those that had ended at the last refresh, looks which have ended since, and attaches to those that
    /// came. `keep` makes what is kept of one that came.
    pub(crate) fn refresh(&mut self, mut keep: impl FnMut(&mut Consumer) -> T) {
        self.members
            .retain(|member| member.status == Status::Running);
        for member in &mut self.members {
            member.status = member.consumer.status();
        }
        let mut looked_at = HashSet::new();
        for file in segment_files() {
            if self.looked_at.contains(&file) || self.look_at(file.0, &mut keep) {
                looked_at.insert(file);
            }
        }
        self.looked_at = looked_at;
        self.members.sort_by_key(|member| member.consumer.pid());
    }

    /// Attaches to a segment that is new, if it belongs here. False if it is to be looked at again: one that is still being
    /// made, or is not shared yet.
    fn look_at(&mut self, pid: u32, keep: &mut impl FnMut(&mut Consumer) -> T) -> bool {
        let Ok(mut consumer) = Consumer::attach(pid) else {
            return false;
        };
        // The name may lead to another file by now than when it was found, and to the same one next time.
        let identity = |consumer: &Consumer| (consumer.id(), consumer.info().start_ns);
        let this = identity(&consumer);
        let is_member = self
            .members
            .iter()
            .any(|member| identity(&member.consumer) == this);
        let status = consumer.status();
        if is_member || status != Status::Running || !self.scope.contains(&consumer, self.user) {
            return true;
        }
        let kept = keep(&mut consumer);
        self.members.push(Member {
            consumer,
            status,
            kept,
        });
        true
    }

    /// The processes, ordered by pid.
    pub(crate) fn members(&self) -> &[Member<T>] {
        &self.members
    }

    /// See [`Self::members`].
    pub(crate) fn members_mut(&mut self) -> &mut [Member<T>] {
        &mut self.members
    }
}
