//! How the preload library is linked: on its own, and before all others.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for argument in [
        // No C library, no start-up files: it is loaded into programs of every C library there is, at
        // the cost of one file.
        "-nostdlib",
        // What is missing shows here, not in somebody's program.
        "-Wl,--no-undefined",
        // Its constructor comes before every other, the program's own DT_PREINIT_ARRAY included: a program
        // that is handed over has not run at all.
        "-Wl,-z,initfirst",
        // A call less at each start of a program: its few pointers are used up when the program begins.
        "-Wl,-z,norelro",
    ] {
        println!("cargo::rustc-link-arg-cdylib={argument}");
    }
}
