//! Who may read segments, how large they are, who takes them away, and who belongs together.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use serde_json::Value;
use vmmload_consumer::{Consumer, ProcessId, Session as Family};
use vmmload_tests::packages::{program, python};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Outcome, Program, Session, machine, vmmload};

/// A group that nobody is in.
const GROUP: &str = "4711";

fn perl() -> &'static str {
    program("/usr/bin/perl", "perl")
}

/// Whether what needs root can be tried here.
fn can_be_root() -> bool {
    if !machine::can_run_inside() {
        return false;
    }
    if !machine::is_root() {
        machine::skip("only root can mount and become another user");
    }
    machine::is_root()
}

/// Runs a script of the shell with a /dev/shm of its own, of `size`; `$V` is vmmload, and `$N` makes a command
/// run as nobody.
fn alone(size: &str, script: &str) -> Outcome {
    let _ = program("/usr/bin/setpriv", "util-linux");
    let script = format!(
        "mount -t tmpfs -o size={size},mode=1777 tmpfs /dev/shm || exit 99
         N='setpriv --reuid=65534 --regid=65534 --clear-groups'\n{script}"
    );
    Program::new(program("/usr/bin/unshare", "util-linux"))
        .args(["-m", "sh", "-c", &script])
        .env("V", vmmload())
        .native()
}

/// Prints permission bits and group of its own segment, of a forked child's and of an executed program's.
const SHOW: &str = r#"sub show { my @f = stat "/dev/shm/vmmload-$$"; printf "%s %o %d\n", shift, $f[2] & 07777, $f[5] }
$| = 1;
if (@ARGV) { show($ARGV[0]); exit }
show("first");
unless (fork) { show("forked"); exit }
wait;
system $^X, $0, "started";
exec $^X, $0, "executed";"#;

#[test]
fn segments_can_be_read_by_those_whom_the_user_named_whatever_the_umask() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let script = scratch.file("show.pl", SHOW, 0o644);
    let shown = |options: &[&str], umask: &str| {
        let program = Program::new(perl()).arg(&script).arranged(umask);
        let program = options
            .iter()
            .fold(program, |program, option| program.option(*option));
        let outcome = program.inside();
        outcome.assert_success("perl");
        assert_eq!(outcome.messages(), "");
        outcome.text()
    };
    let expected = |what: &str| -> String {
        let each = ["first", "forked", "started", "executed"];
        each.map(|each| format!("{each} {what}\n")).concat()
    };
    for umask in ["umask=0", "umask=777"] {
        let own = scratch.path().metadata().expect("a directory").gid();
        assert_eq!(shown(&[], umask), expected(&format!("600 {own}")));
        assert_eq!(
            shown(&["--ring-mode=644"], umask),
            expected(&format!("644 {own}"))
        );
        if machine::is_root() {
            let options = ["--ring-group", GROUP];
            assert_eq!(shown(&options, umask), expected(&format!("640 {GROUP}")));
        }
    }
}

#[test]
fn a_group_that_the_user_is_not_in_is_refused_before_the_program_starts() {
    if !can_be_root() {
        return;
    }
    let setpriv = program("/usr/bin/setpriv", "util-linux");
    let outcome = Program::new("/bin/echo")
        .arg("started")
        .within([setpriv, "--bounding-set=-chown", "--inh-caps=-chown"])
        .option("--ring-group")
        .option(GROUP)
        .inside();
    let messages = outcome.messages();
    assert_eq!(
        (outcome.status.code(), outcome.text().as_str()),
        (Some(125), "")
    );
    assert!(
        messages.starts_with("vmmload: ") && messages.contains("group 4711"),
        "{messages}"
    );
}

#[test]
fn a_process_that_has_left_the_group_says_so_and_keeps_its_segment_to_itself() {
    if !can_be_root() {
        return;
    }
    let script = r#"$| = 1; $) = "65534 65534"; $> = 65534;
        unless (fork) {
            my @f = stat "/dev/shm/vmmload-$$"; printf "%o %d %d\n", $f[2] & 07777, $f[4], $f[5];
            unless (fork) { @f = stat "/dev/shm/vmmload-$$"; printf "%o\n", $f[2] & 07777; exit }
            wait; exit 7 }
        wait; print $? >> 8, "\n";"#;
    let program = Program::new(perl()).args(["-e", script]);
    let outcome = program.option("--ring-group").option(GROUP).inside();
    assert_eq!(outcome.text(), "600 65534 65534\n600\n7\n");
    let messages = outcome.messages();
    let [message] = messages.lines().collect::<Vec<_>>()[..] else {
        panic!("once, and not for its child again: {messages}");
    };
    assert!(
        message.contains("by its own user only") && message.contains("group 4711"),
        "{message}"
    );
}

#[test]
fn a_process_in_another_user_namespace_shares_nothing_with_another_group_of_that_number() {
    if !can_be_root() {
        return;
    }
    let unshare = program("/usr/bin/unshare", "util-linux");
    // There, the group that root is in goes by this number.
    let map = format!("--map-group={GROUP}");
    let show =
        "stat -c '%a %g' /dev/shm/vmmload-$$; (sh -c 'stat -c %a /dev/shm/vmmload-$PPID'; :)";
    let program = Program::new(unshare).args(["-U", "--map-user=0", &map, "sh", "-c", show]);
    let outcome = program.option("--ring-group").option(GROUP).inside();
    assert_eq!(
        outcome.text(),
        format!("600 {GROUP}\n600\n"),
        "{}",
        outcome.messages()
    );
    let messages = outcome.messages();
    assert_eq!(messages.lines().count(), 1, "{messages}");
    assert!(messages.contains("in its user namespace"), "{messages}");
}

#[test]
fn a_process_with_another_root_shares_its_segment_as_it_was_asked_to() {
    if !can_be_root() {
        return;
    }
    let scratch = Scratch::new();
    let script = r#"$| = 1; chroot $ARGV[0] or die; chdir "/";
        unless (fork) { print "$$\n"; <STDIN>; exit } wait;"#;
    let program = Program::new(perl())
        .args(["-e", script])
        .arg(scratch.path());
    let mut session = Session::start(
        program
            .option("--ring-group")
            .option(GROUP)
            .inside_command(),
    );
    let child = session.line();
    let facts =
        std::fs::metadata(format!("/dev/shm/vmmload-{child}")).expect("the child's segment");
    assert_eq!((facts.mode() & 0o7777, facts.gid()), (0o640, 4711));
    assert!(session.finish().success());
}

#[test]
fn others_read_and_list_what_is_shared_and_nothing_else() {
    if !can_be_root() {
        return;
    }
    let outcome = alone(
        "1g",
        r#"cp "$V" /dev/shm/vmmload; R="$N /dev/shm/vmmload"
        "$V" run --ring-mode 644 sleep 30 & shared=$!
        "$V" run sleep 30 & private=$!
        for each in $shared $private; do
            until "$V" dump $each 2>&1 | grep -q '^page'; do sleep 0.02; done
        done
        count() { grep -c '"command":"sleep 30"'; }
        $R ls --format json | count; $R ls --all --format json | count
        "$V" ls --format json | count; "$V" ls --all | grep -c ' root .* sleep 30 '
        $R dump $shared | grep -c '^page' | grep -qv '^0$' && echo read
        $R dump $private; echo $?
        kill $shared $private"#,
    );
    assert_eq!(
        outcome.text(),
        "0\n1\n2\n2\nread\n125\n",
        "{}",
        outcome.messages()
    );
    assert!(
        outcome.messages().contains("--ring-mode"),
        "{}",
        outcome.messages()
    );
}

#[test]
fn a_small_ring_and_a_small_table_hold_less_and_harm_nothing() {
    if !machine::can_run_inside() {
        return;
    }
    // A hundred regions of 2 MiB, and a few thousand pages.
    let script = "$x = chr(1) x 2e8; print length $x, qq(\\n); <STDIN>; print qq(end\\n)";
    let program = Program::new(perl()).args(["-e", &format!("$| = 1; {script}")]);
    let program = program.option("--ring-size=1K").option("--heat-size=16");
    let mut session = Session::start(program.inside_command());
    assert_eq!(session.line(), "200000000");
    let pid = session.pid().unsigned_abs();
    let consumer = Consumer::attach(pid).expect("a segment");
    let deadline = Instant::now() + machine::patience(Duration::from_secs(10));
    while consumer.info().published < 40_000 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let info = consumer.info();
    assert!(
        info.published >= 40_000 && info.heat_dropped > 30_000,
        "{info:?}"
    );
    assert_eq!(
        (info.ring_dropped, consumer.huge_pages().len() <= 16),
        (0, true)
    );
    let length = std::fs::metadata(consumer.path()).expect("its file").len();
    assert!(length < 8 << 20, "{length} bytes");
    session.send("go on\n");
    assert_eq!(session.line(), "end");
    assert!(session.finish().success());
}

#[test]
fn dead_segments_are_pruned_and_printed_and_living_ones_stay() {
    if !can_be_root() {
        return;
    }
    let outcome = alone(
        "1g",
        r#"start() { "$V" run sleep 30 & until "$V" dump $! > /dev/null 2>&1; do sleep 0.02; done; }
        start; living=$!
        start; dead=$!; start; also=$!; kill -9 $dead $also; wait $dead $also 2>/dev/null
        "$V" ls --prune | sed "s/$dead/DEAD/; s/$also/ALSO/" | sort; "$V" ls --prune; echo $?
        ls /dev/shm | sed "s/$living/LIVING/"
        start; dead=$!; kill -9 $dead; wait $dead 2>/dev/null
        "$V" ls --prune --format json | sed "s/$dead/DEAD/"
        kill $living"#,
    );
    let expected = "/dev/shm/vmmload-ALSO\n/dev/shm/vmmload-DEAD\n0\nvmmload-LIVING\n\
                    {\"removed\":\"/dev/shm/vmmload-DEAD\"}\n";
    assert_eq!(outcome.text(), expected, "{}", outcome.messages());
}

#[test]
fn the_next_run_of_the_same_user_prunes_once_and_says_nothing() {
    if !can_be_root() {
        return;
    }
    let outcome = alone(
        "1g",
        r#"start() { "$V" run sleep 30 & until "$V" dump $! > /dev/null 2>&1; do sleep 0.02; done; }
        start; dead=$!
        cp /dev/shm/vmmload-$dead /dev/shm/vmmload-4000000000; chown 65534 /dev/shm/vmmload-4000000000
        "$V" run sh -c "kill -9 $dead; sleep 0.3; (true); sh -c :; ls /dev/shm | grep -cE '^vmmload-($dead|4000000000)$'"
        "$V" run true
        ls /dev/shm
        "$V" ls --prune; ls /dev/shm"#,
    );
    // What another user has left is root's to remove when asked.
    let expected = "2\nvmmload-4000000000\n/dev/shm/vmmload-4000000000\n";
    assert_eq!(outcome.text(), expected, "{}", outcome.messages());
    assert!(
        !outcome.messages().contains("vmmload: "),
        "{}",
        outcome.messages()
    );
}

/// One process of `vmmload ls --format json`: its session and its parent.
fn listed(text: &str) -> BTreeMap<u64, (u64, Option<u64>)> {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let number = |value: &Value, key: &str| value[key].as_u64();
    lines
        .map(|line: Value| {
            let session = number(&line, "session").expect("each has a session");
            (
                number(&line, "pid").expect("a pid"),
                (session, number(&line, "parent")),
            )
        })
        .collect()
}

#[test]
fn a_run_within_a_run_stays_in_its_session() {
    if !can_be_root() {
        return;
    }
    let outcome = alone(
        "1g",
        r#""$V" run sh -c '"$V" run sh -c "\"$V\" ls --format json; :"; :'"#,
    );
    outcome.assert_success("runs");
    let processes = listed(&outcome.text());
    let first = *processes.keys().next().expect("a process");
    assert_eq!(processes.len(), 3, "{processes:?}");
    let parents: Vec<_> = processes.values().map(|(_, parent)| *parent).collect();
    assert_eq!(parents[0], None);
    assert!(parents[1..].iter().all(Option::is_some), "{processes:?}");
    assert!(
        processes.values().all(|(session, _)| *session == first),
        "{processes:?}"
    );
}

/// Starts a process for each way that there is, then waits until its input ends.
const FAMILY: &str = r#"
import os, subprocess, sys
def wait():
    sys.stdin.read()
    os._exit(0)
if os.fork() == 0:
    if os.fork() == 0: wait()
    wait()
subprocess.Popen(["/bin/cat"])
subprocess.Popen(["/bin/sh", "-c", "cat; true"])
os.posix_spawn("/bin/cat", ["cat"], {})
if os.fork() == 0:
    os.execv("/bin/cat", ["cat"])
print("ready", flush=True)
wait()
"#;

/// How many processes that makes.
const FAMILY_SIZE: usize = 8;

/// Waits until a family has so many living members, of whom their parents have told. A program that was just replaced is
/// still among them for a moment, so that its last events can be read.
#[track_caller]
fn family_of(first: u32, size: usize) -> Family {
    let mut family = Family::of(first).expect("the first process has a segment");
    let deadline = Instant::now() + machine::patience(Duration::from_secs(20));
    while Instant::now() < deadline {
        let _ = family.refresh();
        let told: usize = family.members().map(|one| one.children().len()).sum();
        if family.members().count() == size && told + 1 == size {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    family
}

/// Looks at what each of a family tells of itself and of its children.
#[track_caller]
fn assert_told_of(first: u32, size: usize) {
    let family = family_of(first, size);
    let children = |one: &Consumer| -> Vec<(u32, ProcessId)> {
        let children = one.children().into_iter();
        children.map(|child| (one.pid(), child.process)).collect()
    };
    let told: Vec<_> = family.members().flat_map(children).collect();
    assert_eq!(
        (family.members().count(), told.len()),
        (size, size - 1),
        "{told:?}"
    );
    assert_eq!((family.id().pid, family.missed()), (first, 0));
    for one in family.members() {
        assert_eq!(one.session(), family.id());
        let tellers: Vec<u32> = told
            .iter()
            .filter(|(_, child)| child.pid == one.pid() && child.start > 0)
            .map(|(parent, _)| *parent)
            .collect();
        let parent = one.info().parent.map(|parent| parent.pid);
        assert_eq!(
            tellers,
            parent.into_iter().collect::<Vec<_>>(),
            "{}: {told:?}",
            one.pid()
        );
        assert_eq!(parent.is_none(), one.pid() == first);
    }
}

#[test]
fn parents_tell_of_their_children_however_they_are_started() {
    if !machine::can_run_inside() {
        return;
    }
    let program = Program::new(python()).args(["-c", FAMILY]);
    let mut session = Session::start(program.inside_command());
    assert_eq!(session.line(), "ready");
    assert_told_of(session.pid().unsigned_abs(), FAMILY_SIZE);
    assert!(session.finish().success());
}

#[test]
fn parents_in_another_namespace_tell_of_their_children_by_their_outer_names() {
    if !can_be_root() {
        return;
    }
    let unshare = program("/usr/bin/unshare", "util-linux");
    let program = Program::new(unshare).args(["-pf", "--mount-proc", python(), "-c", FAMILY]);
    let mut session = Session::start(program.inside_command());
    assert_eq!(session.line(), "ready");
    assert_told_of(session.pid().unsigned_abs(), FAMILY_SIZE + 1);
    assert!(session.finish().success());
}

/// Writes much, starts children of every kind, and executes a program.
const BUSY: &str = r#"$| = 1; $x = "a" x 2e7; print length $x, "\n"; print `echo child`;
    unless (fork) { $y = "b" x 1e6; print length $y, "\n"; exit 3 }
    wait; print $? >> 8, "\n"; system "exit 5;"; print $? >> 8, "\n"; exec "echo", "end""#;

const BUSY_SAYS: &str = "20000000\nchild\n1000000\n3\n5\nend\n";

#[test]
fn a_full_dev_shm_costs_records_and_nothing_else_and_is_told() {
    if !can_be_root() {
        return;
    }
    // Room for the header alone; for some counters; for a part of the ring.
    for size in ["4k", "64k", "400k"] {
        let script = format!("\"$V\" run --summary {} -e '{BUSY}'", perl());
        let outcome = alone(size, &script);
        let messages = outcome.messages();
        assert_eq!(outcome.text(), BUSY_SAYS, "{size}: {messages}");
        for told in [
            "/dev/shm is full",
            "runs without a segment",
            "events are in no page's count",
            "records never reached the ring",
        ] {
            assert!(messages.contains(told), "{size}: {told}: {messages}");
        }
    }
}

#[test]
fn a_dev_shm_without_any_room_is_told_before_the_program_starts() {
    if !can_be_root() {
        return;
    }
    let outcome = alone(
        "4k",
        r#"head -c 4096 /dev/zero > /dev/shm/full; "$V" run echo started; echo $?; ls /dev/shm"#,
    );
    assert_eq!(outcome.text(), "125\nfull\n", "{}", outcome.messages());
    assert!(
        outcome.messages().contains("make room in /dev/shm"),
        "{}",
        outcome.messages()
    );
}

#[test]
fn a_program_that_limits_the_size_of_files_has_children_all_the_same() {
    // Too little for a segment, and then even for a launcher that a program would start.
    for blocks in [40_000, 100] {
        let script = format!(
            "ulimit -f {blocks}; (echo forked); /bin/echo executed; sh -c 'exit 6'; echo $?; exec /bin/echo end"
        );
        let program = Program::new("/bin/sh").args(["-c", &script]);
        let native = program.native();
        native.assert_success("sh");
        if machine::can_run_inside() {
            let inside = program.inside();
            assert_eq!(
                (inside.text(), inside.status),
                (native.text(), native.status),
                "{}",
                inside.messages()
            );
            assert!(
                inside.messages().contains("runs without a segment"),
                "{}",
                inside.messages()
            );
        }
    }
}

#[test]
fn a_limit_below_the_size_of_a_segment_is_told_before_the_program_starts() {
    if !machine::can_run_inside() {
        return;
    }
    let program = Program::new("/bin/echo").arg("started");
    let limited = |options: &[&str]| {
        let program = options
            .iter()
            .fold(program.clone(), |program, option| program.option(*option));
        program
            .within(["/bin/sh", "-c", "ulimit -f 40000; exec \"$@\"", "sh"])
            .inside()
    };
    let refused = limited(&[]);
    assert_eq!(
        (refused.status.code(), refused.text().as_str()),
        (Some(125), "")
    );
    assert!(
        refused.messages().contains("ulimit -Hf"),
        "{}",
        refused.messages()
    );
    // Smaller ones fit.
    let fits = limited(&["--heat-size=1K"]);
    assert_eq!(
        (fits.text().as_str(), fits.messages().as_str()),
        ("started\n", "")
    );
}
