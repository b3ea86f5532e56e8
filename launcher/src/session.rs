//! `vmmload run`, and execve(2) in what it runs: puts the control path and the data path together. The
//! only file that knows both.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use kvm_bindings::kvm_regs;
use vmmload_consumer::{Consumer, CreateError, End, Status, Track, prune_own};

use crate::cli::{self, RunConfig, RunRequest, Settings, SettingsError};
use crate::entry::Inherited;
use crate::hold::Hold;
use crate::host::{descriptors, messages, origin, signals as host, threads};
use crate::kvm::caps;
use crate::kvm::dirty_ring::DirtyRing;
use crate::kvm::vcpu::Vcpu;
use crate::kvm::vm::CreateVmError;
use crate::machine::{Arming, Machine, Tracking};
use crate::nested;
use crate::probes::{rearm, syscall_entry, write_log};
use crate::process::command::{self, CommandError, Program};
use crate::process::frame;
use crate::process::handover::{self, Launch, TakeOverError};
use crate::process::image;
use crate::process::lifecycle;
use crate::process::mappings::{Backing, Mapping, Mappings, Prot};
use crate::process::memory::Memory;
use crate::process::seccomp::{Setting, ThreadFilters};
use crate::process::signals::Dispositions;
use crate::process::stack::{self, StackError};
use crate::process::state::{Descent, IdleVcpu, Lineage, Process, Role, VcpuStats, World};
use crate::process::thread::{Birth, GuestThread};
use crate::tracking::harvester::Tracker;

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The command itself.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// What an earlier image left.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// KVM or the VM.
    #[error(transparent)]
    Vm(#[from] CreateVmError),
    /// A vCPU.
    #[error(
        "the first vCPU cannot be set up: {0}. Raise the limit of processes (ulimit -u), or check the kernel log (dmesg) \
         for what KVM says"
    )]
    Vcpu(#[source] io::Error),
    /// Watching stores.
    #[error("stores to memory cannot be watched: {0}. Use --track none")]
    Arming(#[source] io::Error),
    /// Watching loads.
    #[error("loads from memory cannot be watched on this KVM: {0}. Use --track write")]
    Reads(#[source] io::Error),
    /// The first stack.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The shared-memory segment.
    #[error("{}", cli::with_causes(.0))]
    Segment(CreateError),
    /// Where the summary should go.
    #[error("the summary's file cannot be opened: {0}. Check the path given to --summary")]
    Summary(#[source] io::Error),
    /// What was asked for.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Inside vmmload.
    #[error(
        "the vmmload around this one does not take these settings: {0}. Use the same vmmload inside and outside"
    )]
    Around(#[source] io::Error),
    /// What the first instruction waits for.
    #[error("--hold is for recorders, and takes the descriptor of a pipe: {0}. Leave it away")]
    Hold(#[source] io::Error),
    /// Threads are in their parent's namespaces, and this process's children are not.
    #[error(
        "this process may have no threads: its children are to be in another namespace (unshare --pid or --time). \
         Have a child execute the command (unshare --fork)"
    )]
    Namespaces,
    /// The harvester.
    #[error(
        "the harvester's thread cannot be started: {0}. Raise the limit of threads (ulimit -u)"
    )]
    Harvester(#[source] io::Error),
}

impl RunError {
    /// Exit status as env(1) has it.
    pub(crate) fn code(&self) -> i32 {
        match self {
            RunError::Command(e) => e.code(),
            _ => crate::process::lifecycle::OWN_FAILURE,
        }
    }

    /// Whether it is this machine that cannot wrap the command, and not what was asked for that is wrong.
    pub(crate) fn is_of_machine(&self) -> bool {
        match self {
            RunError::Settings(_)
            | RunError::Around(_)
            | RunError::Summary(_)
            | RunError::Hold(_)
            | RunError::Vm(
                CreateVmError::RingTooLarge { .. } | CreateVmError::RingTooSmall { .. },
            ) => false,
            RunError::Command(error) => error.code() != command::NOT_FOUND,
            _ => true,
        }
    }
}

/// A command to be wrapped.
#[derive(Debug)]
pub(crate) struct Start {
    /// Its file.
    pub path: PathBuf,
    /// Its arguments, its name first.
    pub argv: Vec<CString>,
    /// Its environment.
    pub envp: Vec<CString>,
}

/// Runs the command that was typed. Returns only if it could not be started.
pub(crate) fn run(request: RunRequest, inherited: &Inherited) -> RunError {
    // First of all: whatever is opened from here on must not be kept from the program by it, nor inherited with it.
    let hold = request.hold.map(Hold::take).transpose();
    let hold = hold.map_err(RunError::Hold);
    match hold.and_then(|hold| Ok((hold, typed(request, inherited)?))) {
        Ok((hold, (settings, start))) => start_or_nest(settings, &start, hold, inherited),
        Err(error) => error,
    }
}

fn typed(request: RunRequest, inherited: &Inherited) -> Result<(Settings, Start), RunError> {
    // A command that was asked to be wrapped runs wrapped or not at all; but what is wrong is said.
    cli::is_required(&inherited.envp)?;
    let said = Settings::from_environment(&inherited.envp)?;
    let path = command::search(&request.command[0], inherited.variable("PATH"))?;
    let start = Start {
        path,
        argv: command::c_strings(&request.command),
        envp: inherited.envp.clone(),
    };
    Ok((request.settings.or(said), start))
}

/// Wraps the command, or has the vmmload around this process do so. Returns only if it could not be started.
///
/// `hold`: what the first instruction waits for, if anything. Inside another vmmload nothing is to be waited for: this
/// process has its segment.
pub(crate) fn start_or_nest(
    settings: Settings,
    start: &Start,
    hold: Option<Hold>,
    inherited: &Inherited,
) -> RunError {
    if nested::is_inside() {
        drop(hold);
        return nested::run(settings, start);
    }
    let load = || command::load(start.path.clone(), start.argv.clone());
    wrap(settings, load, None, &start.envp, hold, inherited)
}

/// Wraps the program that `load` gives, with the environment `envp`. Returns only if it could not be started.
///
/// `name`: what ps(1) shows; `None`: as for a program that is executed by its path.
pub(crate) fn wrap(
    settings: Settings,
    load: impl FnOnce() -> Result<Program, CommandError>,
    name: Option<&CStr>,
    envp: &[CString],
    hold: Option<Hold>,
    inherited: &Inherited,
) -> RunError {
    let mask = prepare_signals();
    handover::remember_launcher();
    origin::remember();
    let launch = load().map_err(RunError::from);
    let launch = launch.and_then(|program| first_launch(settings, program, name, envp, mask));
    let started = launch.and_then(|launch| {
        prune_own();
        start(launch, hold, inherited)
    });
    threads::leave_semaphore_list();
    enter(started, mask)
}

/// Goes on with the program that an earlier image of this process hands over through `descriptor`.
/// Returns only if it could not be started.
pub(crate) fn resume(descriptor: RawFd, inherited: &Inherited) -> RunError {
    let mask = prepare_signals();
    let launch = handover::take_over(descriptor).map_err(RunError::from);
    enter(
        launch.and_then(|launch| start(launch, None, inherited)),
        mask,
    )
}

/// Leaves signals to the program: until its first thread has its place they wait in the kernel, and what SIGBUS does
/// is the program's to say, so no segment that is looked at on the way may change it. Returns the mask from before.
fn prepare_signals() -> u64 {
    vmmload_consumer::leave_sigbus_alone();
    host::set_mask(u64::MAX)
}

fn enter(started: Result<GuestThread, RunError>, mask: u64) -> RunError {
    match started {
        Ok(thread) => {
            thread.run();
            unreachable!("the first thread ends with its host thread or the process")
        }
        Err(e) => {
            host::set_mask(mask);
            e
        }
    }
}

fn first_launch(
    settings: Settings,
    program: Program,
    name: Option<&CStr>,
    envp: &[CString],
    mask: u64,
) -> Result<Launch, RunError> {
    let mut config = settings.config()?;
    config.sharing.namespace = origin::user_namespace();
    let last_part = || {
        let name = program.execfn.as_bytes().rsplit(|&b| b == b'/').next();
        CString::new(name.unwrap_or_default()).unwrap_or_default()
    };
    Ok(Launch {
        name: name.map_or_else(last_part, CStr::to_owned),
        program,
        envp: envp.to_vec(),
        mask,
        seccomp: Setting::default(),
        summary: open_summary(&config)?,
        config,
        known: None,
        descent: descent(),
        is_typed: true,
    })
}

/// Whom this process descends from, if it runs in vmmload already: that one's segment tells.
fn descent() -> Descent {
    let outer = Consumer::attach(origin::pid()).ok();
    // One of another process that had this id is not running.
    let outer = outer.filter(|outer| outer.status() == Status::Running);
    Descent {
        session: outer.as_ref().map(Consumer::session),
        parent: outer.and_then(|outer| outer.info().parent),
    }
}

fn start(
    launch: Launch,
    hold: Option<Hold>,
    inherited: &Inherited,
) -> Result<GuestThread, RunError> {
    let Launch {
        mut config,
        program,
        envp,
        name,
        mask,
        seccomp,
        summary,
        known,
        descent,
        is_typed,
    } = launch;
    if !threads::can_be_started() {
        return Err(RunError::Namespaces);
    }
    let (kvm, caps) = caps::open().map_err(CreateVmError::from)?;
    let machine = Machine::create(&kvm, caps, Tracking::of(&config), known.as_ref())?;
    let (mut vcpu, mut ring) = Vcpu::create(machine, 0).map_err(RunError::Vcpu)?;
    if known.is_none() {
        find_out(&mut vcpu, ring.as_mut(), config.track)?;
    }

    let mut table = Mappings::default();
    insert_kernel_pages(&mut table);
    let image = image::load(&program, &mut table)?;
    let Program {
        argv,
        execfn,
        path,
        file,
    } = program;
    drop(file);
    let stack = stack::build(&argv, &envp, &execfn, &image, &inherited.auxv, &mut table)?;
    let memory = Memory::new(machine, table, image.heap_start, stack.reserved);
    memory.offer_all();
    show_as(&name, &stack.strings);

    let command: Vec<u8> = argv
        .iter()
        .flat_map(|a| a.as_bytes_with_nul().to_vec())
        .collect();
    let tracker = match is_typed {
        true => Tracker::create(&config, &command, descent, machine),
        false => Tracker::create_anyhow(&mut config, &command, descent, machine),
    };
    let tracker = tracker.map_err(RunError::Segment)?;
    let stats = Arc::new(VcpuStats::new(config.track));
    // As execve(2) writes them, before the first instruction. They are few, and the log is empty.
    for written in image.zeroed.iter().chain(&stack.written) {
        stats
            .kernel
            .push(written.start, written.end - written.start);
    }
    tracker.add_vcpu(0, ring, stats.clone());
    let executable = std::fs::canonicalize(&path).unwrap_or(path);
    let executable = CString::new(executable.as_os_str().as_bytes()).unwrap_or_default();
    let lineage = Lineage {
        kvm,
        command,
        descent,
        executable,
    };
    let world = World::new(machine, memory, tracker, lineage);
    let dispositions = Arc::new(Dispositions::inherited());
    let process = Process::new(world, Role::First, config, summary, dispositions);
    let process: &'static Process = Box::leak(Box::new(process));
    if !is_typed {
        process.may_adjust_semaphores();
    }
    let regs = kvm_regs {
        rip: image.start,
        rsp: stack.pointer,
        ..Default::default()
    };
    let birth = Birth {
        regs,
        bases: (0, 0),
        xsave: frame::initial_xsave(),
        mask,
        seccomp: ThreadFilters::new(seccomp),
    };
    let idle = IdleVcpu { vcpu, stats };
    // The segment can be read, and the first epoch is yet to begin.
    if let Some(hold) = hold {
        hold.wait();
    }
    begin(process, idle, &birth).inspect_err(|_| lifecycle::end_image(process, End::Native))
}

/// The harvester's thread and the program's first, the last that can fail: the segment is there.
fn begin(
    process: &'static Process,
    idle: IdleVcpu,
    birth: &Birth,
) -> Result<GuestThread, RunError> {
    Tracker::start(process).map_err(RunError::Harvester)?;
    GuestThread::new(process, idle, birth, true).map_err(RunError::Vcpu)
}

/// Finds out how this KVM behaves, on a vCPU that has not run yet.
fn find_out(vcpu: &mut Vcpu, ring: Option<&mut DirtyRing>, track: Track) -> Result<(), RunError> {
    let machine = vcpu.machine();
    let entry = syscall_entry::find(vcpu).map_err(RunError::Vcpu)?;
    let _ = machine.entry.set(entry);
    if let Some(ring) = ring {
        let store_ns = write_log::store_ns(vcpu, ring).map_err(RunError::Arming)?;
        let reads = match track {
            Track::ReadWrite => Some(rearm::find(vcpu).map_err(RunError::Reads)?),
            Track::Write | Track::None => None,
        };
        machine.set_arming(Arming { store_ns, reads });
    }
    Ok(())
}

/// Opens where the summary goes, out of the program's way.
///
/// # Errors
/// [`RunError::Summary`].
pub(crate) fn open_summary(config: &RunConfig) -> Result<Option<File>, RunError> {
    let Some(target) = &config.summary else {
        return Ok(None);
    };
    let parked = descriptors::open_parked(|| target.open()).map_err(RunError::Summary)?;
    Ok(Some(parked.into()))
}

/// The pages that the kernel maps into every process: the program finds them through
/// AT_SYSINFO_EHDR, as always.
fn insert_kernel_pages(table: &mut Mappings) {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else {
        return;
    };
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (Some(range), Some(prot), Some(name)) = (fields.next(), fields.next(), fields.nth(3))
        else {
            continue;
        };
        if !name.starts_with("[vdso") && !name.starts_with("[vvar") {
            continue;
        }
        let Some((start, end)) = range.split_once('-') else {
            continue;
        };
        let hex = |text| u64::from_str_radix(text, 16);
        let (Ok(start), Ok(end)) = (hex(start), hex(end)) else {
            continue;
        };
        let right = |letter, bit: i32| if prot.contains(letter) { bit as u64 } else { 0 };
        let prot = right('r', libc::PROT_READ) | right('x', libc::PROT_EXEC);
        let backing = Backing::Special(name.into());
        let mapping = Mapping {
            backing,
            ..Mapping::anonymous(Prot::from_bits(prot))
        };
        table.insert(start..end, mapping);
    }
}

/// Says why a program could not be started, and returns the exit status.
pub(crate) fn failed(error: &RunError) -> i32 {
    messages::say(&error.to_string());
    error.code()
}

/// Lets ps and top show the program: its name, and where the kernel permits it its arguments and
/// environment.
fn show_as(name: &CStr, strings: &stack::Strings) {
    // SAFETY: `name` is a NUL-terminated string for the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    crate::host::process_view::show_strings(strings);
}
