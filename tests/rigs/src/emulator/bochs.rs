//! Bochs: an Intel processor with VMX, EPT and Page Modification Logging, emulated instruction by
//! instruction.
//!
//! Bochs boots like a real machine, so kernel and initramfs come on a CD image. Debian's build has the
//! debugger in it, which is told to continue. The debugger has standard input and output, so the
//! machine's screen is a pseudo-terminal that Bochs opens; somebody has to read it, or Bochs waits for
//! ever to write on.
//!
//! With two processors the debugger runs five instructions of the one, then five of the other, whatever
//! `quantum` says, so that everything takes several times longer; and while both wait, it counts up the
//! clock one by one, where a single processor goes on at the next interrupt at once: each second that
//! the kernel sleeps takes a minute.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Emulator, start};
use crate::command::output;
use crate::image::Image;
use crate::{RigError, doing};

pub(super) const PACKAGES: &str =
    "bochs bochs-term bochsbios vgabios genisoimage isolinux syslinux-common";
pub(super) const FILES: &[&str] = &[
    "/usr/bin/bochs",
    "/usr/share/bochs/BIOS-bochs-latest",
    "/usr/share/vgabios/vgabios.bin",
    "/usr/bin/genisoimage",
    ISOLINUX,
    LDLINUX,
];
const ISOLINUX: &str = "/usr/lib/ISOLINUX/isolinux.bin";
const LDLINUX: &str = "/usr/lib/syslinux/modules/bios/ldlinux.c32";

/// `tsc=reliable no_timer_check lpj=`: the emulated clock follows the instructions, so calibrating one
/// timer against another would only take long. `cryptomgr.notests` saves a quarter of the time to boot.
/// `panic=-1`: a crash resets the machine, which ends it.
const KERNEL_ARGUMENTS: &str = "console=ttyS0,115200 mitigations=off nokaslr tsc=reliable \
                                no_timer_check lpj=1000000 cryptomgr.notests quiet panic=-1";
/// What a kernel on one processor is told, too.
const SINGLE: &str = "nosmp";

/// How often the file behind the serial port is looked at.
const POLL: Duration = Duration::from_millis(100);

pub(super) fn boot(image: &Image, processors: u32, directory: &Path) -> Result<Emulator, RigError> {
    let cd = make_cd(image, processors, directory)?;
    let serial = directory.join("serial");
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).map_err(doing(format!("writing {}", path.display())))
    };
    write("serial", "")?;
    write("bochsrc", &configuration(&cd, processors, directory))?;
    write("debugger", "c\n")?;
    let log = |name: &str| {
        let path = directory.join(name);
        File::create(&path).map_err(doing(format!("writing {}", path.display())))
    };
    let mut command = Command::new(FILES[0]);
    command
        .args(["-q", "-f", "bochsrc", "-rc", "debugger"])
        .current_dir(directory)
        // Its display is a terminal; the size is all that it needs to know of one.
        .envs([("TERM", "xterm"), ("LINES", "50"), ("COLUMNS", "160")])
        .stdout(Stdio::from(log("screen")?))
        .stderr(Stdio::from(log("messages")?));
    let child = start(&mut command)?;
    let printed = directory.join("messages");
    std::thread::spawn(move || read_screen(&printed));
    let file = File::open(&serial).map_err(doing(format!("reading {}", serial.display())))?;
    let process = format!("/proc/{}/stat", child.id());
    Ok(Emulator {
        child,
        serial: Box::new(Tail { file, process }),
    })
}

fn configuration(cd: &Path, processors: u32, directory: &Path) -> String {
    format!(
        "display_library: term\n\
         cpu: model=corei7_skylake_x, count={processors}, ips=100000000, reset_on_triple_fault=0\n\
         memory: guest=1024, host=1024\n\
         romimage: file={bios}\n\
         vgaromimage: file={vga}\n\
         ata0-master: type=cdrom, path={cd}, status=inserted\n\
         boot: cdrom\n\
         com1: enabled=1, mode=file, dev={directory}/serial\n\
         log: {directory}/log\n\
         clock: sync=none, time0=local\n\
         panic: action=fatal\n\
         error: action=ignore\n\
         info: action=ignore\n\
         sound: driver=dummy\n\
         speaker: enabled=0\n",
        bios = FILES[1],
        vga = FILES[2],
        cd = cd.display(),
        directory = directory.display()
    )
}

/// A CD image that boots this image, made again only where the image has changed.
fn make_cd(
    image: &Image,
    processors: u32,
    directory: &Path,
) -> Result<std::path::PathBuf, RigError> {
    let name = image
        .archive
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let cd = directory.join(format!("{name}.iso"));
    if cd.exists() {
        return Ok(cd);
    }
    remove_older(directory);
    let tree = directory.join("cd");
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir_all(&tree).map_err(doing(format!("creating {}", tree.display())))?;
    let put = |source: &Path, name: &str| {
        let copied = fs::copy(source, tree.join(name)).map(drop);
        copied.map_err(doing(format!("copying {}", source.display())))
    };
    put(Path::new(ISOLINUX), "isolinux.bin")?;
    put(Path::new(LDLINUX), "ldlinux.c32")?;
    put(&image.kernel, "vmlinuz")?;
    put(&image.archive, "initrd")?;
    let single = if processors == 1 { SINGLE } else { "" };
    let menu = format!(
        "DEFAULT rig\nPROMPT 0\nTIMEOUT 1\nLABEL rig\nKERNEL vmlinuz\nAPPEND initrd=initrd {KERNEL_ARGUMENTS} {single}\n"
    );
    fs::write(tree.join("isolinux.cfg"), menu).map_err(doing("writing isolinux.cfg"))?;
    let part = directory.join("cd.part");
    let mut command = Command::new(FILES[3]);
    command
        .arg("-quiet")
        .arg("-o")
        .arg(&part)
        .args(["-b", "isolinux.bin", "-c", "boot.cat"]);
    command
        .args(["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"])
        .arg(&tree);
    output(&mut command)?;
    let _ = fs::remove_dir_all(&tree);
    fs::rename(&part, &cd).map_err(doing(format!("renaming {}", part.display())))?;
    Ok(cd)
}

fn remove_older(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "iso")
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Reads and forgets what Bochs shows on its terminal, whose name it prints.
fn read_screen(printed: &Path) {
    let named = || {
        let text = fs::read_to_string(printed).ok()?;
        let (_, rest) = text.split_once("connected to screen \"")?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let terminal = (0..300).find_map(|_| {
        std::thread::sleep(POLL);
        named()
    });
    let Some(terminal) = terminal else { return };
    // As it comes, not line by line.
    let _ = Command::new("stty")
        .args(["-F", &terminal, "raw", "-echo"])
        .status();
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NOCTTY)
        .open(terminal);
    // Ends with an error when Bochs does.
    let _ = opened.and_then(|mut screen| io::copy(&mut screen, &mut io::sink()));
}

/// Reads a file that a process goes on writing, until that process has ended.
struct Tail {
    file: File,
    process: String,
}

impl Tail {
    /// A killed process that nobody has waited for yet is still listed, as a zombie.
    fn writer_has_ended(&self) -> bool {
        let stat = fs::read_to_string(&self.process).unwrap_or_default();
        !stat
            .rsplit(") ")
            .next()
            .is_some_and(|state| !state.starts_with(['Z', 'X']) && !state.is_empty())
    }
}

impl Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let ended = self.writer_has_ended();
            // Read after having looked: what was written before the end is not missed.
            let read = self.file.read(buffer)?;
            if read > 0 || ended {
                return Ok(read);
            }
            std::thread::sleep(POLL);
        }
    }
}
