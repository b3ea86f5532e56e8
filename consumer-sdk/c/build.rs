//! How the shared library is linked: its name, and that it stays.

fn main() {
    // The number is VMMLOAD_ABI_MAJOR of the header: a program needs the library that it was built for.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libvmmload_consumer.so.1");
    // Its handler of SIGBUS must outlive dlclose(3).
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rerun-if-changed=build.rs");
}
