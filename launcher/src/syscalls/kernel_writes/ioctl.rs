//! ioctl(2): requests of terminals, files, block devices and sockets.
//!
//! A request's number holds a size and a direction, but that is a convention, and only says what may be
//! written. So a request that is not here counts as unknown, unless its number says that it only reads.

use super::effect::Writes;
use super::sizes::IFREQ;

/// Direction bits of a request that is made as asm-generic/ioctl.h says: the program writes, the kernel
/// reads.
const ONLY_READ_BY_KERNEL: u32 = 1;

/// Requests that store a fixed number of bytes where the argument points to.
#[rustfmt::skip]
const STORES: &[(u32, u32)] = &[
    // asm-generic/ioctls.h: terminals.
    (0x5401, 36), (0x5405, 18), (0x802c_542a, 44), // TCGETS, TCGETA, TCGETS2
    (0x540f, 4), (0x5411, 4), (0x5413, 8), (0x5415, 4), // TIOCGPGRP, TIOCOUTQ, TIOCGWINSZ, TIOCMGET
    (0x5419, 4), (0x541b, 4), (0x5424, 4), (0x5429, 4), // TIOCGSOFTCAR, FIONREAD, TIOCGETD, TIOCGSID
    (0x8004_5430, 4), (0x8004_5432, 4), (0x8004_5438, 4), // TIOCGPTN, TIOCGDEV, TIOCGPKT
    (0x8004_5439, 4), (0x8004_5440, 4), // TIOCGPTLCK, TIOCGEXCL
    // linux/fs.h: files and block devices.
    (1, 4), (2, 4), (0x5460, 8), // FIBMAP, FIGETBSZ, FIOQSIZE
    (0x8008_6601, 4), (0x8008_7601, 4), (0x801c_581f, 28), // FS_IOC_GETFLAGS, _GETVERSION, _FSGETXATTR
    (0x125e, 4), (0x1260, 8), (0x1263, 8), (0x1268, 4), // BLKROGET, BLKGETSIZE, BLKRAGET, BLKSSZGET
    (0x1278, 4), (0x1279, 4), (0x127a, 4), (0x127b, 4), // BLKIOMIN, BLKIOOPT, BLKALIGNOFF, BLKPBSZGET
    (0x8008_1270, 4), (0x8008_1272, 8), // BLKBSZGET, BLKGETSIZE64
    // linux/sockios.h.
    (0x8903, 4), (0x8904, 4), (0x8905, 4), (0x8906, 16), (0x8907, 16), // FIOGETOWN, SIOCGPGRP, SIOCATMARK, SIOCGSTAMP[NS]
    (0x894b, 4), // SIOCOUTQNSD
    (0x8910, IFREQ), (0x8913, IFREQ), (0x8915, IFREQ), (0x8917, IFREQ), // SIOCGIFNAME, FLAGS, ADDR, DSTADDR
    (0x8919, IFREQ), (0x891b, IFREQ), (0x891d, IFREQ), (0x8921, IFREQ), // BRDADDR, NETMASK, METRIC, MTU
    (0x8927, IFREQ), (0x8933, IFREQ), (0x8942, IFREQ), (0x8970, IFREQ), // HWADDR, INDEX, TXQLEN, MAP
    // linux/if_tun.h: the name that the device got, whatever the number says. Then TUNGETIFF and TUNGETFEATURES.
    (0x4004_54ca, IFREQ), (0x8004_54d2, IFREQ), (0x8004_54cf, 4),
    // linux/random.h, linux/nsfs.h: RNDGETENTCNT, NS_GET_OWNER_UID.
    (0x8004_5200, 4), (0xb704, 4),
    // linux/userfaultfd.h: UFFDIO_API.
    (0xc018_aa3f, 24),
];

/// Requests that store nothing, though their number does not say so.
#[rustfmt::skip]
const STORES_NOTHING: &[u32] = &[
    // TCSETS, -W, -F, TCSETA, -W, -F, TCSBRK, TCXONC, TCFLSH, TIOCEXCL, TIOCNXCL, TIOCSCTTY
    0x5402, 0x5403, 0x5404, 0x5406, 0x5407, 0x5408, 0x5409, 0x540a, 0x540b, 0x540c, 0x540d, 0x540e,
    // TIOCSPGRP, TIOCSTI, TIOCSWINSZ, TIOCMBIS, TIOCMBIC, TIOCMSET, TIOCSSOFTCAR, TIOCCONS, TIOCPKT
    0x5410, 0x5412, 0x5414, 0x5416, 0x5417, 0x5418, 0x541a, 0x541d, 0x5420,
    // FIONBIO, TIOCNOTTY, TIOCSETD, TCSBRKP, TIOCSBRK, TIOCCBRK, TIOCVHANGUP, TIOCGPTPEER
    0x5421, 0x5422, 0x5423, 0x5425, 0x5427, 0x5428, 0x5437, 0x5441,
    // FIONCLEX, FIOCLEX, FIOASYNC
    0x5450, 0x5451, 0x5452,
    // FIFREEZE and FITHAW say that they read and write; neither has an argument.
    0xc004_5877, 0xc004_5878,
    // BLKROSET, BLKRRPART, BLKFLSBUF, BLKRASET, BLKDISCARD, BLKZEROOUT
    0x125d, 0x125f, 0x1261, 0x1262, 0x1277, 0x127f,
    // FIOSETOWN, SIOCSPGRP, and SIOCSIF: NAME, FLAGS, ADDR, DSTADDR, BRDADDR, NETMASK, METRIC, MTU, HWADDR, TXQLEN
    0x8901, 0x8902, 0x8923, 0x8914, 0x8916, 0x8918, 0x891a, 0x891c, 0x891e, 0x8922, 0x8924, 0x8943,
    // NS_GET_USERNS, NS_GET_PARENT, NS_GET_NSTYPE
    0xb701, 0xb702, 0xb703,
];

/// SIOCGIFCONF: struct ifconf has the length of the buffer, then its address.
const LISTS_INTERFACES: u32 = 0x8912;
/// UFFDIO_COPY and UFFDIO_ZEROPAGE.
const FILLS_PAGES: u32 = 0xc028_aa03;
const ZEROES_PAGES: u32 = 0xc020_aa04;

/// ioctl(2).
pub(super) fn ioctl(w: &mut Writes<'_>) {
    if w.returned().is_none() {
        return;
    }
    let (request, at) = (w.arg(1) as u32, w.arg(2));
    if let Some((_, bytes)) = STORES.iter().find(|(of, _)| *of == request) {
        return w.span(at, (*bytes).into());
    }
    match request {
        LISTS_INTERFACES => interfaces(w, at),
        FILLS_PAGES => filled_pages(w, at, 32),
        ZEROES_PAGES => filled_pages(w, at, 24),
        _ if STORES_NOTHING.contains(&request) || request >> 30 == ONLY_READ_BY_KERNEL => {}
        _ => w.unknown(),
    }
}

fn interfaces(w: &mut Writes<'_>, at: u64) {
    let buffer: u64 = w.read(at.wrapping_add(8)).unwrap_or(0);
    let length: u32 = w.read(at).unwrap_or(0);
    if buffer != 0 {
        w.span(buffer, length.into());
    }
    w.span(at, 4);
}

/// Pages of this process that its own handler of faults fills, and how much was done. A descriptor of
/// another process's faults is not told apart.
fn filled_pages(w: &mut Writes<'_>, at: u64, done_at: u64) {
    let done: i64 = w.read(at.wrapping_add(done_at)).unwrap_or(0);
    if let (Some(first), Ok(bytes)) = (w.read(at), u64::try_from(done)) {
        w.span(first, bytes);
    }
    w.span(at.wrapping_add(done_at), 8);
}
