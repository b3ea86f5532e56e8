//! The machines: what each emulates, and what runs in it.

/// An emulated machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rig {
    /// QEMU with AMD SVM and nested paging, two processors.
    Amd,
    /// Bochs with Intel VMX, EPT and Page Modification Logging, one processor.
    Intel,
    /// The same with two processors: several times slower, so only what needs them.
    IntelTwo,
}

/// Something that runs in a rig, one after the other; each must end with status 0.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Tests of one binary of `vmmload-tests`.
    Tests {
        /// Its name, as in `tests/tests/NAME.rs`.
        binary: &'static str,
        /// Tests to leave out, by parts of their names, each because this rig cannot run it.
        skip: &'static [&'static str],
        /// Parts of the names of the tests to run; none: all.
        only: &'static [&'static str],
        /// Runs the tests that are ignored elsewhere, too.
        ignored: bool,
        /// How vmmload serves system calls, if not as it does of itself (`--call-mode`).
        call_mode: Option<&'static str>,
    },
    /// The benchmark, with these options.
    Benchmark(&'static str, &'static [&'static str]),
    /// A command line.
    Command(&'static str, &'static [&'static str]),
}

impl Step {
    /// What `--only` looks for, and what is printed.
    pub(crate) fn name(&self) -> String {
        match self {
            Step::Tests {
                binary,
                call_mode: Some(mode),
                ..
            } => format!("{binary} in {mode} mode"),
            Step::Tests { binary, .. } => (*binary).to_owned(),
            Step::Benchmark(name, _) | Step::Command(name, _) => (*name).to_owned(),
        }
    }
}

const fn tests(binary: &'static str) -> Step {
    without(binary, &[])
}

const fn without(binary: &'static str, skip: &'static [&'static str]) -> Step {
    Step::Tests {
        binary,
        skip,
        only: &[],
        ignored: false,
        call_mode: None,
    }
}

/// With a thread beside the guest's for its system calls, whatever that is worth: it takes two processors.
const fn spinning(
    binary: &'static str,
    only: &'static [&'static str],
    skip: &'static [&'static str],
) -> Step {
    Step::Tests {
        binary,
        skip,
        only,
        ignored: false,
        call_mode: Some("spin"),
    }
}

/// What only a rig can show: the tests that need KVM's own counters.
const HARDWARE: Step = Step::Tests {
    binary: "hardware",
    skip: &[],
    only: &[],
    ignored: true,
    call_mode: None,
};

/// Of these, those that need two processors.
const BESIDE: Step = Step::Tests {
    binary: "hardware",
    skip: &[],
    only: &["with_a_thread_beside", "between_calls"],
    ignored: true,
    call_mode: None,
};

const DOCTOR: Step = Step::Command("what doctor says", &["vmmload", "doctor"]);
const COUNTS: Step = Step::Benchmark("counts", &["--counts", "--pages", "20000"]);

const AMD: &[Step] = &[
    DOCTOR,
    HARDWARE,
    COUNTS,
    tests("doctor"),
    tests("small_programs"),
    tests("processor"),
    tests("tracking"),
    tests("oracle"),
    without("reads", THOUSANDS),
    without("kernel_writes", INTERPRETED),
    without("attribution", FREQUENCIES),
    tests("boundaries"),
    tests("tracking_properties"),
    tests("undisturbed"),
    without("incremental", PERL),
    tests("marks"),
    tests("memory"),
    tests("threads"),
    without("signals", NOT_IN_QEMU),
    without("processes", PROGRAMS),
    tests("process_stress"),
    spinning("signals", &[], NOT_IN_QEMU),
    spinning("threads", &[], HUNDREDS),
    spinning("call_modes", CALLS_IN_RING_0, &[]),
    spinning("call_modes_processes", CALLING_PROCESSES, &[]),
];

const INTEL: &[Step] = &[
    DOCTOR,
    HARDWARE,
    COUNTS,
    tests("doctor"),
    tests("small_programs"),
    tests("processor"),
    tests("tracking"),
    without("reads", BUT_SIXTEEN),
    tests("boundaries"),
    tests("tracking_properties"),
    without("incremental", PERL),
    without("marks", BUT_PHASES),
    without("memory", STATIC),
    without("threads", STATIC),
    without("signals", NOT_IN_BOCHS),
    without("processes", PROGRAMS_AND_STATIC),
    without("process_stress", REPEATED),
];

/// What runs on two processors of Intel's: little, as the same work takes Bochs five times longer with two, and
/// all tests of threads, which mostly wait, would take longer than the limit, as would those of call modes: what
/// their stub does in ring 0, the steps of [`AMD`] in spin mode try. `--only` finds the other steps of [`INTEL`], too.
const INTEL_TWO: &[Step] = &[
    DOCTOR,
    tests("small_programs"),
    BESIDE,
    spinning("small_programs", &[], &[]),
];

/// What the stub of system calls is interrupted by, where it runs in ring 0, and what must not show there. Left out: code
/// that is rewritten, since call sites are replaced in ring 3 only; hundreds of threads, and waits, which take long;
/// a library loaded twice and stacks shown by the C library, for which files are missing in the image; signals of
/// faults for the process while all block them (`blocked_signals_of`), which are nowhere for as long as a thread of
/// vmmload's passes them on: where threads run in turns, that is long enough to be seen.
const CALLS_IN_RING_0: &[&str] = &[
    "timers_interrupt",
    "bytes_through_a_pipe",
    "turns_by_futex",
    "back_and_forth",
    "queued_signals",
    "lowest_first",
    "alternate_stack",
    "left_by_a_jump",
    "blocked_signals_wait",
    "calls_change_no_register",
    "single_steps",
    "at_its_own_instructions",
    "follow_each_other",
    "dirty_rings",
    "four_threads",
    "fifty_threads",
    "rights_are_changed",
    "threads_are_cancelled",
    "filters",
];

/// Left out: what starts children by the hundreds, and forks beside the stops, which take long; clocks of the time
/// used (`no_clock`), which tell the time of both threads where both have a processor.
const CALLING_PROCESSES: &[&str] = &[
    "borrow_memory",
    "forked_by_handlers",
    "come_from_other_threads",
    "keys_of_a_terminal",
    "limit_of_a_second",
    "virtual_timer",
    "dies_of",
    "can_be_killed",
    "make_no_call_until",
];

/// Left out with a thread beside each: how many there can be is known from the same without.
const HUNDREDS: &[&str] = &["hundred", "thousand", "cannot_start", "static"];

/// Left out everywhere: a compiler and its kin do not fit into the image.
const PROGRAMS: &[&str] = &["make", "shell", "python", "native"];

/// See [`PROGRAMS`] and [`STATIC`].
const PROGRAMS_AND_STATIC: &[&str] = &["make", "shell", "python", "native", "static"];

/// Left out in QEMU: some exceptions, which it describes to the machine's kernel otherwise than a processor (no
/// resume flag, error codes of a wrong scale); calls that wait for exact times, which is the kernel's affair.
const NOT_IN_QEMU: &[&str] = &[
    "exceptions_are_described",
    "each_waiting_call",
    "survive_a_stop",
];

/// Left out in QEMU: going over so many pages takes longer than an epoch.
const THOUSANDS: &[&str] = &["thousand"];

/// See [`THOUSANDS`]; Bochs takes longer still.
const BUT_SIXTEEN: &[&str] = &[
    "thousand",
    "hundreds",
    "sixty_four",
    "pages_read_and_pages_written",
];

/// Left out in QEMU: the programs there are linked statically.
const INTERPRETED: &[&str] = &["the_first_stack"];

/// Left out in Bochs, which takes long: what marks say, and not which pages are in a phase, is no processor's affair.
const BUT_PHASES: &[&str] = &[
    "very_many",
    "rounds",
    "no_store_is_lost",
    "children",
    "arguments",
    "dump_and",
    "left_alone",
    "memory_",
    "watched",
];

/// Left out in both: Perl with all that belongs to it.
const PERL: &[&str] = &["interpreter"];

/// Left out in QEMU: how often something happens is the emulator's affair.
const FREQUENCIES: &[&str] = &["in_the_shortest_epochs"];

/// Left out in Bochs, which takes long: how a program is linked makes no difference to a processor.
const STATIC: &[&str] = &["static"];

/// Left out in Bochs, too: hundreds of calls that wait for seconds, which is the kernel's affair; frames with
/// vector state that this processor does not have.
const NOT_IN_BOCHS: &[&str] = &[
    "each_waiting_call",
    "fatal_signals_end",
    "survive_a_stop",
    "handlers_can_change",
    "timers_deliver",
];

/// Left out in Bochs, too: what is lost or left behind is the kernel's affair, not the processor's.
const REPEATED: &[&str] = &["started", "executes_itself", "come_and_go"];

impl Rig {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Rig::Amd => "amd",
            Rig::Intel => "intel",
            Rig::IntelTwo => "intel2",
        }
    }

    /// What the tests are told of the kind of processor (`VMMLOAD_RIG`).
    pub(crate) fn vendor(self) -> &'static str {
        match self {
            Rig::Amd => "amd",
            Rig::Intel | Rig::IntelTwo => "intel",
        }
    }

    /// How many processors the machine has, and how many tests run at once.
    pub(crate) fn processors(self) -> u32 {
        match self {
            Rig::Intel => 1,
            Rig::Amd | Rig::IntelTwo => 2,
        }
    }

    /// The kernel modules to load, in this order.
    pub(crate) fn modules(self) -> [&'static str; 3] {
        match self {
            Rig::Amd => ["irqbypass", "kvm", "kvm-amd"],
            Rig::Intel | Rig::IntelTwo => ["irqbypass", "kvm", "kvm-intel"],
        }
    }

    /// What runs in it, in this order.
    pub(crate) fn steps(self) -> &'static [Step] {
        match self {
            Rig::Amd => AMD,
            Rig::Intel => INTEL,
            Rig::IntelTwo => INTEL_TWO,
        }
    }

    /// What `--only` can ask for beside these.
    pub(crate) fn further_steps(self) -> &'static [Step] {
        match self {
            Rig::Amd | Rig::Intel => &[],
            Rig::IntelTwo => INTEL,
        }
    }

    /// How many times longer than on a real machine a single program may take.
    pub(crate) fn patience(self) -> u32 {
        match self {
            Rig::Amd => 8,
            Rig::Intel | Rig::IntelTwo => 4,
        }
    }

    /// What part of a real machine's work the heavy tests do: one in so many.
    pub(crate) fn work_divisor(self) -> u32 {
        match self {
            Rig::Amd => 8,
            Rig::Intel | Rig::IntelTwo => 25,
        }
    }

    /// After so many minutes it is stopped.
    pub(crate) fn limit_minutes(self) -> u64 {
        match self {
            Rig::Amd | Rig::IntelTwo => 20,
            Rig::Intel => 45,
        }
    }
}
