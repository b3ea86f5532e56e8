//! Gives the shared library the name that programs linked with it look for.

fn main() {
    // The number is VMMLOAD_ABI_MAJOR of the header: a program needs the library that it was built for.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libvmmload_consumer.so.1");
    println!("cargo::rerun-if-changed=build.rs");
}
