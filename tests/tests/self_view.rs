//! What a program sees of itself and of its relatives under /proc, and what others see of it.

use vmmload_tests::{Guest, Program, Session, guest_tests, machine, packages};

guest_tests! {
    own_mappings_are_listed_whole_and_no_others: "self_view/mappings";
    own_files_are_found_by_every_path: "self_view/ways";
    own_threads_descriptors_signals_and_sizes_are_counted: "self_view/numbers" ["a", "b c"];
    parent_and_child_see_each_other_as_natively: "self_view/relatives";
}

#[test]
fn ps_shows_the_command_and_its_threads_inside() {
    let ps = packages::program("/usr/bin/ps", "procps");
    let script =
        format!("{ps} -o comm,args,nlwp,stat,exe -p $$; {ps} -o comm= -L -p $$; cat /proc/$$/comm");
    Program::new("sh")
        .args(["-c", &script, "first", "second word"])
        .compare_success();
}

#[test]
fn top_shows_the_command_inside() {
    let top = packages::program("/usr/bin/top", "procps");
    let script = format!("{top} -b -n 1 -w 80 -p $$ | tail -n 1 | sed 's/.* //'");
    Program::new("sh").args(["-c", &script]).compare_success();
}

#[test]
fn others_see_the_command_with_its_arguments_and_environment() {
    let program = Guest::new("environment/wait_for_signal")
        .program()
        .arg("pause")
        .env("VMMLOAD_TEST_SHOWN", "yes");
    let mut commands = vec![program.native_command()];
    if machine::can_run_inside() {
        commands.push(program.inside_command());
    }
    for command in commands {
        let mut session = Session::start(command);
        assert_eq!(session.line(), "ready");
        let read = |file: &str| {
            let bytes = std::fs::read(format!("/proc/{}/{file}", session.pid()));
            String::from_utf8(bytes.expect("an own child may be read")).expect("text")
        };
        assert!(read("comm").starts_with("environment-wai"));
        let arguments = read("cmdline");
        assert!(arguments.ends_with("\0pause\0"), "{arguments}");
        assert!(!arguments.contains("vmmload run"), "{arguments}");
        assert!(read("environ").contains("VMMLOAD_TEST_SHOWN=yes\0"));
        session.signal(libc::SIGTERM);
        session.finish();
    }
}
