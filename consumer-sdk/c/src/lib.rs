//! The C interface to `vmmload-consumer`: what `include/vmmload.h` declares.
//!
//! The header is made from these sources by the test `tests/header.rs`, and their doc comments become its
//! comments: they speak to a C programmer.
//!
//! Three rules hold everywhere. A pointer that may be NULL is an `Option` of a reference, so that the compiler
//! asks for the answer to NULL. A const consumer in C is a shared reference here, and [`sdk::Consumer`] is `Sync`: that
//! is why functions that take one may run at the same time. And no function panics, since nothing could catch
//! it: what can fail returns a code and leaves a text (see [`error`]).

#![expect(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "no Rust program can call these; what pointers must be is the header's contract with C"
)]

pub mod consumer;
pub mod copies;
pub mod error;
pub mod heat;
pub mod mappings;
pub mod marks;
mod pointers;
pub mod processes;
pub mod session;
pub mod types;

/// The header promises it: functions that take a const consumer may run at the same time on several threads, and any
/// thread may use a consumer that another attached.
const _: () = {
    const fn is_shared_between_threads<T: Send + Sync>() {}
    is_shared_between_threads::<sdk::Consumer>();
    is_shared_between_threads::<mappings::Mappings>();
    is_shared_between_threads::<session::Session>();
};
