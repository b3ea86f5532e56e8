//! `vmmload doctor`: what it says of this machine, and of one without KVM.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use vmmload_tests::machine::{can_run_inside, is_root, skip};
use vmmload_tests::packages::program;
use vmmload_tests::{Outcome, Program, vmmload};

/// Emulated machines are slow.
const LIMIT: Duration = Duration::from_secs(60);

fn doctor() -> Program {
    Program::new(vmmload()).arg("doctor").limit(LIMIT)
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.stdout)
        .unwrap_or_else(|cause| panic!("{cause} in: {}", outcome.text()))
}

/// The member at a path like `/probes/paging`, which must exist, were it as null.
#[track_caller]
fn member<'a>(document: &'a Value, path: &str) -> &'a Value {
    document
        .pointer(path)
        .unwrap_or_else(|| panic!("no {path} in: {document:#}"))
}

#[track_caller]
fn word<'a>(document: &'a Value, path: &str, words: &[&str]) -> &'a str {
    let value = member(document, path).as_str().unwrap_or_default();
    assert!(words.contains(&value), "{path}: {document:#}");
    value
}

/// The first problem.
fn problem(document: &Value) -> &Value {
    let findings = member(document, "/findings").as_array().expect("a list");
    findings
        .iter()
        .find(|finding| finding["state"] == "problem")
        .unwrap_or_else(|| panic!("no problem in: {document:#}"))
}

const KEYS: [&str; 8] = [
    "usable", "kernel", "kvm", "modules", "probes", "limits", "features", "findings",
];

const PROBES: [&str; 9] = [
    "syscall_entry",
    "write_log",
    "write_log_evidence",
    "paging",
    "port_exit_rip",
    "tsc",
    "exit_ns",
    "exits_per_armed_store",
    "armed_store_ns",
];

#[track_caller]
fn assert_shape(document: &Value) {
    let mut keys: Vec<&String> = document.as_object().expect("an object").keys().collect();
    let mut expected = KEYS.to_vec();
    keys.sort();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    for name in [
        "problem",
        "max_vcpus",
        "max_slots",
        "dirty_ring_entries",
        "tsc_offset",
    ] {
        member(document, &format!("/kvm/{name}"));
    }
    for name in PROBES {
        member(document, &format!("/probes/{name}"));
    }
    for finding in member(document, "/findings").as_array().expect("a list") {
        assert!(finding["what"].is_string(), "{finding}");
        let state = finding["state"].as_str();
        assert!(
            matches!(state, Some("ok" | "note" | "problem")),
            "{finding}"
        );
        assert_eq!(
            finding["remedy"].is_null(),
            state == Some("ok"),
            "{finding}"
        );
    }
}

#[test]
fn this_machine_is_fit_and_its_probes_agree() {
    if !can_run_inside() {
        return;
    }
    let outcome = doctor().args(["--format", "json"]).native();
    let document = json(&outcome);
    assert_eq!(outcome.status.code(), Some(0), "{document:#}");
    assert_shape(&document);
    assert_eq!(document["usable"], true);
    assert!(document["kvm"]["problem"].is_null());
    assert!(document["kvm"]["max_vcpus"].as_u64() >= Some(1));
    assert!(document["kvm"]["dirty_ring_entries"].as_u64() >= Some(1024));
    let entry = word(&document, "/probes/syscall_entry", &["ring0", "ring3"]);
    let log = word(&document, "/probes/write_log", &["hardware", "fault"]);
    let paging = word(&document, "/probes/paging", &["nested", "shadow"]);
    let evidence = word(&document, "/probes/write_log_evidence", &["count", "time"]);
    let counted = document["probes"]["exits_per_armed_store"].as_f64();
    assert_eq!(counted.is_some(), evidence == "count", "{document:#}");
    assert!(counted.is_none_or(|exits| (log == "fault") == (exits >= 0.5)));
    word(&document, "/probes/port_exit_rip", &["at", "behind"]);
    word(&document, "/probes/tsc", &["host"]);
    assert!(log == "fault" || paging == "nested", "{document:#}");
    // The processor walks both tables only where it runs ring 0 of the guest as well.
    assert!(paging == "shadow" || entry == "ring0", "{document:#}");
    assert!(document["probes"]["exit_ns"].as_u64() > Some(0));
    assert!(document["probes"]["armed_store_ns"].is_u64());
}

#[test]
fn modules_that_claim_a_feature_are_believed_only_as_far_as_it_shows() {
    if !can_run_inside() {
        return;
    }
    let document = json(&doctor().args(["--format", "json"]).native());
    let off = |module: &str, name: &str| {
        let value = document["modules"][module][name].as_str();
        matches!(value, Some("N" | "0"))
    };
    if off("kvm_intel", "pml") {
        assert_eq!(document["probes"]["write_log"], "fault");
    }
    if off("kvm_intel", "ept") || off("kvm_amd", "npt") {
        assert_eq!(document["probes"]["paging"], "shadow");
    }
}

#[test]
fn text_fits_the_screen_and_ends_with_a_verdict() {
    let outcome = doctor().native();
    let text = outcome.text();
    for line in text.lines() {
        assert!(line.chars().count() <= 110, "{line}");
        assert_eq!(line, line.trim_end());
    }
    let verdict = text.lines().last().unwrap_or_default();
    assert!(verdict.starts_with("vmmload run "), "{text}");
    let fit = outcome.status.success();
    assert_eq!(fit, verdict.starts_with("vmmload run works here"), "{text}");
    assert_eq!(fit, !text.contains("!!"), "{text}");
    assert_eq!(outcome.messages(), "");
}

/// The command as a user who may not open /dev/kvm.
fn as_nobody(arguments: &[&str]) -> Outcome {
    Program::new(program("/usr/bin/setpriv", "util-linux"))
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(vmmload())
        .args(arguments)
        .limit(LIMIT)
        .native()
}

#[test]
fn a_user_without_access_is_told_how_to_get_it() {
    if !is_root() {
        return skip("not root, so no other user can be tried");
    }
    let open = Command::new(program("/usr/bin/setpriv", "util-linux"))
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .args(["/bin/sh", "-c", "exec 3<>/dev/kvm"])
        .output()
        .expect("setpriv can be started");
    if open.status.success() {
        return skip("every user may open /dev/kvm here");
    }
    if !std::path::Path::new("/dev/kvm").exists() {
        return skip("there is no /dev/kvm");
    }
    let outcome = as_nobody(&["doctor", "--format", "json"]);
    let document = json(&outcome);
    assert_eq!(outcome.status.code(), Some(1), "{document:#}");
    assert_shape(&document);
    assert_eq!(document["usable"], false);
    assert!(document["probes"]["paging"].is_null());
    assert!(!document["kernel"].as_str().unwrap_or_default().is_empty());
    let remedy = problem(&document)["remedy"].as_str().unwrap_or_default();
    assert!(remedy.contains("usermod -aG kvm"), "{document:#}");
    let text = as_nobody(&["doctor"]);
    assert_eq!(text.status.code(), Some(1));
    assert!(text.text().contains("!!  /dev/kvm"), "{}", text.text());
    assert!(text.text().contains("usermod -aG kvm"), "{}", text.text());
}

#[test]
fn a_machine_without_the_device_is_told_to_load_the_module() {
    if !is_root() {
        return skip("not root, so /dev/kvm cannot be hidden");
    }
    // An empty /dev of its own hides the device, and shared memory with it.
    let script = "mount -t tmpfs none /dev && exec \"$@\"";
    let hidden = |command: &[&str]| {
        Program::new(program("/usr/bin/unshare", "util-linux"))
            .args(["--mount", "/bin/sh", "-c", script, "sh"])
            .args(command.iter().copied())
            .limit(LIMIT)
            .native()
    };
    if !hidden(&["/bin/true"]).status.success() {
        return skip("/dev cannot be mounted over here");
    }
    let vmmload = vmmload().display().to_string();
    let outcome = hidden(&[&vmmload, "doctor", "--format", "json"]);
    let document = json(&outcome);
    assert_eq!(outcome.status.code(), Some(1), "{document:#}");
    assert_shape(&document);
    let remedy = problem(&document)["remedy"].as_str().unwrap_or_default();
    assert!(remedy.contains("modprobe"), "{document:#}");
    let shared_memory = |finding: &&Value| {
        let what = finding["what"].as_str().unwrap_or_default();
        finding["state"] == "problem" && what.starts_with("/dev/shm")
    };
    let findings = member(&document, "/findings").as_array().expect("a list");
    assert!(findings.iter().any(|f| shared_memory(&f)), "{document:#}");
}

#[test]
fn closed_standard_descriptors_receive_nothing_and_do_no_harm() {
    let with_all = doctor().native().status.code();
    for closed in ["close=0", "close=1", "close=2"] {
        let outcome = doctor().arranged(closed).native();
        assert_eq!(outcome.status.code(), with_all, "{closed}");
    }
    let none = ["close=0", "close=1", "close=2"];
    let outcome = none.into_iter().fold(doctor(), Program::arranged).native();
    assert_eq!(outcome.status.code(), with_all);
}

#[test]
fn wrong_arguments_are_125() {
    for arguments in [&["now"][..], &["--format", "xml"], &["--follow"]] {
        let outcome = doctor().args(arguments.iter().copied()).native();
        assert_eq!(outcome.status.code(), Some(125), "{arguments:?}");
        assert!(outcome.messages().starts_with("vmmload: "));
        assert!(outcome.stdout.is_empty());
    }
    let help = doctor().arg("--help").native();
    help.assert_success("doctor --help");
    assert!(help.text().contains("vmmload doctor --format json"));
}
