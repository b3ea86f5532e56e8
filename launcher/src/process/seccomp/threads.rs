//! The settings of all threads of a process, which one thread may change for all of them
//! (SECCOMP_FILTER_FLAG_TSYNC).

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::bpf::Data;
use super::{Mode, Setting, Verdict};

/// Of a thread that has ended.
const GONE: i32 = -1;

/// One thread's setting, as all threads see it.
#[derive(Debug, Default)]
struct Slot {
    /// Counts the changes; 0 as long as nothing was ever set.
    version: AtomicU64,
    /// Changed under the registry's lock only.
    setting: Mutex<Setting>,
    /// The thread's id: 0 until it runs.
    tid: AtomicI32,
    /// Another thread's no_new_privs was made this one's, too.
    loses_privileges: AtomicBool,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Setting> {
        self.setting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, setting: Setting) {
        *self.lock() = setting;
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// One thread's setting, as it sees it itself.
#[derive(Debug, Clone)]
pub(crate) struct ThreadFilters {
    slot: Arc<Slot>,
    seen: u64,
    setting: Setting,
}

impl ThreadFilters {
    /// A thread that starts with `setting`.
    pub(crate) fn new(setting: Setting) -> Self {
        let slot = Slot::default();
        let active = setting.mode != Mode::Off;
        slot.version.store(active.into(), Ordering::Relaxed);
        *slot.lock() = setting.clone();
        Self {
            seen: slot.version.load(Ordering::Relaxed),
            slot: Arc::new(slot),
            setting,
        }
    }

    /// For a thread or process that this one starts.
    pub(crate) fn copied(&self) -> Self {
        let copy = Self::new(self.slot.lock().clone());
        let loses = self.slot.loses_privileges.load(Ordering::Relaxed);
        copy.slot.loses_privileges.store(loses, Ordering::Relaxed);
        copy
    }

    /// Whether calls must be judged.
    pub(crate) fn is_active(&self) -> bool {
        self.slot.version.load(Ordering::Acquire) != 0
    }

    /// Whether another thread has just taken privileges from this one: says so once.
    pub(crate) fn takes_loss_of_privileges(&self) -> bool {
        self.slot.loses_privileges.swap(false, Ordering::Relaxed)
    }

    /// The present setting.
    pub(crate) fn setting(&mut self) -> &Setting {
        let version = self.slot.version.load(Ordering::Acquire);
        if version != self.seen {
            // A change right after the load is seen at the next call.
            self.setting = self.slot.lock().clone();
            self.seen = version;
        }
        &self.setting
    }

    /// What becomes of a call.
    pub(crate) fn judge(&mut self, data: &Data) -> Verdict {
        self.setting().judge(data)
    }

    /// The thread has ended: others need not agree with it any more.
    pub(crate) fn retire(&self) {
        self.slot.tid.store(GONE, Ordering::Release);
    }
}

/// All threads of a process.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: Mutex<Vec<Weak<Slot>>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a thread that `parent` is about to start. It counts from here on.
    pub(crate) fn inherit(&self, parent: &ThreadFilters) -> ThreadFilters {
        let mut slots = self.lock();
        slots.retain(|slot| slot.strong_count() > 0);
        let child = parent.copied();
        slots.push(Arc::downgrade(&child.slot));
        child
    }

    /// The thread `of` runs, as `tid`.
    pub(crate) fn runs(&self, of: &ThreadFilters, tid: i32) {
        of.slot.tid.store(tid, Ordering::Release);
        let mut slots = self.lock();
        let known = |slot: &Weak<Slot>| std::ptr::eq(slot.as_ptr(), Arc::as_ptr(&of.slot));
        if !slots.iter().any(known) {
            slots.push(Arc::downgrade(&of.slot));
        }
    }

    /// Replaces the setting of `thread` by what `change` makes of it.
    ///
    /// # Errors
    /// What `change` says.
    pub(crate) fn change<E>(
        &self,
        thread: &ThreadFilters,
        change: impl FnOnce(&Setting) -> Result<Setting, E>,
    ) -> Result<(), E> {
        let _slots = self.lock();
        let now = thread.slot.lock().clone();
        thread.slot.set(change(&now)?);
        Ok(())
    }

    /// As [`Registry::change`], and gives the new setting to all other threads. `loses_privileges`:
    /// and no_new_privs with it.
    ///
    /// # Errors
    /// What `change` says, and as `Ok(Err(tid))` a thread whose filters are others: nothing has changed
    /// then.
    pub(crate) fn change_all<E>(
        &self,
        thread: &ThreadFilters,
        loses_privileges: bool,
        change: impl FnOnce(&Setting) -> Result<Setting, E>,
    ) -> Result<Result<(), i32>, E> {
        let slots = self.lock();
        let now = thread.slot.lock().clone();
        let new = change(&now)?;
        let others: Vec<Arc<Slot>> = slots
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|slot| !Arc::ptr_eq(slot, &thread.slot))
            .filter(|slot| slot.tid.load(Ordering::Acquire) != GONE)
            .collect();
        for slot in &others {
            let own = slot.lock();
            if own.mode == Mode::Strict || !own.is_ancestor_of(&now) {
                return Ok(Err(slot.tid.load(Ordering::Acquire)));
            }
        }
        for slot in &others {
            if loses_privileges {
                slot.loses_privileges.store(true, Ordering::Relaxed);
            }
            slot.set(new.clone());
        }
        thread.slot.set(new);
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Filter;
    use super::super::bpf::{Instruction, Program};
    use super::*;

    fn one_more(setting: &Setting) -> Result<Setting, ()> {
        let end = Instruction {
            code: 6,
            jt: 0,
            jf: 0,
            k: super::super::RET_ALLOW,
        };
        let program = Program::check(vec![end]).map_err(drop)?;
        let flags = None;
        Ok(setting.with(Arc::new(Filter { program, flags })))
    }

    #[test]
    fn all_threads_are_changed_or_none() {
        let registry = Registry::default();
        let mut first = ThreadFilters::new(Setting::default());
        registry.runs(&first, 1);
        let mut second = registry.inherit(&first);
        registry.runs(&second, 2);
        assert!(!first.is_active() && !second.is_active());
        assert_eq!(registry.change_all(&first, true, one_more), Ok(Ok(())));
        assert!(second.is_active() && second.takes_loss_of_privileges());
        assert_eq!(second.setting(), first.setting());

        registry.change(&second, one_more).unwrap();
        assert_eq!(registry.change_all(&first, false, one_more), Ok(Err(2)));
        assert_eq!(first.setting().filters.len(), 1);
        assert_eq!(registry.change_all(&second, false, one_more), Ok(Ok(())));
        assert_eq!(first.setting().filters.len(), 3);
    }

    #[test]
    fn a_thread_that_has_ended_need_not_agree() {
        let registry = Registry::default();
        let first = ThreadFilters::new(Setting::default());
        registry.runs(&first, 1);
        let second = registry.inherit(&first);
        registry.runs(&second, 2);
        registry.change(&second, one_more).unwrap();
        second.retire();
        assert_eq!(registry.change_all(&first, false, one_more), Ok(Ok(())));
    }
}
