//! System V semaphores, shared memory and messages, and POSIX message queues.

use super::effect::Writes;
use crate::host::questions;

/// struct semid64_ds, struct shmid64_ds, struct msqid64_ds.
const SEMAPHORES: u64 = 104;
const SHARED_MEMORY: u64 = 112;
const QUEUE: u64 = 120;
/// struct seminfo, struct shminfo64, struct shm_info, struct msginfo.
const SEMAPHORE_LIMITS: u64 = 40;
const SHARED_LIMITS: u64 = 72;
const SHARED_USE: u64 = 48;
const QUEUE_LIMITS: u64 = 32;

// linux/ipc.h, sem.h, shm.h, msg.h
const IPC_STAT: i32 = 2;
const IPC_INFO: i32 = 3;
const GETALL: i32 = 13;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;
const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;

/// semctl(2).
pub(super) fn semctl(w: &mut Writes<'_>) {
    if w.returned().is_none() {
        return;
    }
    let bytes = match w.arg(2) as i32 {
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => SEMAPHORES,
        IPC_INFO | SEM_INFO => SEMAPHORE_LIMITS,
        // Two bytes for each.
        GETALL => match questions::semaphores(w.arg(0)) {
            Some(count) => 2 * count,
            None => return w.unknown(),
        },
        _ => 0,
    };
    w.span(w.arg(3), bytes);
}

/// shmctl(2).
pub(super) fn shmctl(w: &mut Writes<'_>) {
    if w.returned().is_none() {
        return;
    }
    let bytes = match w.arg(1) as i32 {
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => SHARED_MEMORY,
        IPC_INFO => SHARED_LIMITS,
        SHM_INFO => SHARED_USE,
        _ => 0,
    };
    w.span(w.arg(2), bytes);
}

/// msgctl(2).
pub(super) fn msgctl(w: &mut Writes<'_>) {
    if w.returned().is_none() {
        return;
    }
    let bytes = match w.arg(1) as i32 {
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => QUEUE,
        IPC_INFO | MSG_INFO => QUEUE_LIMITS,
        _ => 0,
    };
    w.span(w.arg(2), bytes);
}

/// msgrcv(2): the type, then the text.
pub(super) fn msgrcv(w: &mut Writes<'_>) {
    if let Some(text) = w.returned() {
        w.span(w.arg(1), 8 + text);
    }
}

/// mq_timedreceive(2): the message and its priority.
pub(super) fn mq_timedreceive(w: &mut Writes<'_>) {
    if let Some(bytes) = w.returned() {
        w.span(w.arg(1), bytes);
        w.span(w.arg(3), 4);
    }
}
