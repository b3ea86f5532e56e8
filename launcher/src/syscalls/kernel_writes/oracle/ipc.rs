//! System V IPC and POSIX message queues.

use std::os::fd::AsRawFd;

use super::{Arena, call, case, check, made, owned};

/// Removes what it names.
struct Removed(libc::c_long, u64);

impl Drop for Removed {
    fn drop(&mut self) {
        // IPC_RMID is 0.
        made(self.0, [self.1, 0, 0, 0]);
    }
}

fn semaphores(a: &mut Arena) -> u64 {
    let id = made(libc::SYS_semget, [0, 5, 0o600]);
    a.keep(Removed(libc::SYS_semctl, id));
    id
}

fn shared_memory(a: &mut Arena) -> u64 {
    let id = made(libc::SYS_shmget, [0, 4096, 0o600]);
    a.keep(Removed(libc::SYS_shmctl, id));
    id
}

fn queue(a: &mut Arena) -> u64 {
    let queue = made(libc::SYS_msgget, [0, 0o600, 0]);
    a.keep(Removed(libc::SYS_msgctl, queue));
    let message = [1u64, u64::from_ne_bytes(*b"message!")];
    made(libc::SYS_msgsnd, [queue, message.as_ptr() as u64, 7, 0]);
    queue
}

#[test]
fn objects_of_system_v_are_described() {
    check(&[
        case("semctl IPC_STAT", |a| {
            call(libc::SYS_semctl, [semaphores(a), 0, 2, a.at(8)])
        }),
        case("semctl GETALL", |a| {
            call(libc::SYS_semctl, [semaphores(a), 0, 13, a.at(8)])
        }),
        case("semctl SEM_INFO", |a| {
            call(libc::SYS_semctl, [0, 0, 19, a.at(8)])
        }),
        case("semctl GETVAL", |a| {
            call(libc::SYS_semctl, [semaphores(a), 0, 12, a.at(8)])
        }),
        case("shmctl IPC_STAT", |a| {
            call(libc::SYS_shmctl, [shared_memory(a), 2, a.at(8)])
        }),
        case("shmctl IPC_INFO", |a| {
            call(libc::SYS_shmctl, [0, 3, a.at(8)])
        }),
        case("shmctl SHM_INFO", |a| {
            call(libc::SYS_shmctl, [0, 14, a.at(8)])
        }),
        case("msgctl IPC_STAT", |a| {
            call(libc::SYS_msgctl, [queue(a), 2, a.at(8)])
        }),
        case("msgctl MSG_INFO", |a| {
            call(libc::SYS_msgctl, [0, 12, a.at(8)])
        }),
        case("msgrcv", |a| {
            call(libc::SYS_msgrcv, [queue(a), a.at(8), 100, 0, 0])
        }),
    ]);
}

#[test]
fn a_posix_queue_hands_out_messages_and_attributes() {
    fn posix(a: &mut Arena) -> u64 {
        let name = format!("oracle-{:?}\0", std::thread::current().id());
        let (name, text) = (name.as_ptr() as u64, c"text".as_ptr() as u64);
        let flags = (libc::O_RDWR | libc::O_CREAT) as u64;
        let queue = made(libc::SYS_mq_open, [name, flags, 0o600, 0]);
        made(libc::SYS_mq_unlink, [name]);
        made(libc::SYS_mq_timedsend, [queue, text, 4, 1, 0]);
        a.keep(owned(queue)).as_raw_fd() as u64
    }
    check(&[
        case("mq_timedreceive", |a| {
            let args = [posix(a), a.at(8), 8192, a.at(10_000), 0];
            call(libc::SYS_mq_timedreceive, args)
        }),
        case("mq_getsetattr", |a| {
            call(libc::SYS_mq_getsetattr, [posix(a), 0, a.at(8)])
        }),
    ]);
}
