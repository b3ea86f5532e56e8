//! The live processes that are watched, as they come and go.

use std::os::unix::fs::MetadataExt;
use vmmload_consumer::{AttachError, Consumer, ProcessId, Status, pids};

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
        let members = Vec::new();
        Self {
            scope,
            user,
            members,
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
        for pid in pids() {
            let is_known = |member: &Member<T>| {
                member.consumer.pid() == pid && member.status == Status::Running
            };
            if self.members.iter().any(is_known) {
                continue;
            }
            let Ok(mut consumer) = Consumer::attach(pid) else {
                continue;
            };
            let status = consumer.status();
            if status != Status::Running || !self.scope.contains(&consumer, self.user) {
                continue;
            }
            let kept = keep(&mut consumer);
            self.members.push(Member {
                consumer,
                status,
                kept,
            });
        }
        self.members.sort_by_key(|member| member.consumer.pid());
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
