//! What a program that runs in vmmload says to it.
//!
//! No dependencies, no allocation, no C library: the preload library uses it before anything else in its process
//! has run.

#![no_std]

pub mod protocol;
