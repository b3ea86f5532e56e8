//! The header that is checked in is the one that the sources make.

use std::path::Path;

/// Set to `1` to write the header instead of comparing it.
const BLESS: &str = "VMMLOAD_BLESS";

fn generated(package: &Path) -> String {
    let config = cbindgen::Config::from_file(package.join("cbindgen.toml"))
        .expect("cbindgen.toml is a configuration");
    let bindings = cbindgen::Builder::new()
        .with_crate(package)
        .with_config(config)
        .generate()
        .expect("the sources make a header");
    let mut header = Vec::new();
    bindings.write(&mut header);
    String::from_utf8(header).expect("a header is text")
}

#[test]
fn the_header_is_what_the_sources_make() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = package.join("include/vmmload.h");
    let generated = generated(package);
    if std::env::var_os(BLESS).is_some_and(|value| value == "1") {
        std::fs::write(&file, generated).expect("the header can be written");
        return;
    }
    let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
    let differing = checked_in
        .lines()
        .zip(generated.lines())
        .find(|(old, new)| old != new);
    assert!(
        checked_in == generated,
        "{} is not what the sources make; the first line that differs: {differing:#?}. Make it anew, and look at \
         what has changed: {BLESS}=1 cargo test -p vmmload-consumer-c --test header",
        file.display()
    );
}
