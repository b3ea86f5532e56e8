//! The call sites that can be replaced, and what replaces them.
//!
//! Five bytes before the `syscall` instruction become a jump; that instruction, and what is behind it, stays. So whoever
//! jumps to it, restarts it or returns behind it finds what was always there. The five bytes are those of one
//! instruction, into whose middle nobody jumps:
//!
//! ```text
//! by number     mov eax, NR                          -> jmp thunk
//!               syscall                                 syscall
//! read(2)       cmp byte ptr [rip + FLAG], 0         -> jmp thunk, two bytes left over
//! of glibc      je / jne SLOW                           je / jne SLOW
//!               xor eax, eax                            xor eax, eax
//!               syscall                                 syscall
//! the same      mov rsi, [rsp + N]                   -> jmp thunk
//! with threads  mov r8d, eax                            mov r8d, eax
//!               mov edi, [rsp + M]                      mov edi, [rsp + M]
//!               xor eax, eax                            xor eax, eax
//!               syscall                                 syscall
//! ```
//!
//! The thunk does what the replaced instruction and those up to the `syscall` do, and jumps to the stub page with the
//! address behind the `syscall` in rcx.

/// Bytes that a thunk may take.
pub(super) const THUNK: u64 = 32;

/// Bytes before a `syscall` instruction that are looked at.
pub(super) const BEFORE: usize = 16;

/// SYSCALL.
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// XOR EAX, EAX.
const ZERO_EAX: [u8; 2] = [0x31, 0xc0];
/// Bytes of a near jump.
pub(super) const JUMP: usize = 5;

/// A call site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `mov eax, NR` right before it.
    Number(u32),
    /// glibc's read: the address that is compared with 0, the condition of the jump, and where it goes.
    Read {
        /// Address of the byte.
        flag: u64,
        /// Opcode of the short jump.
        jump: u8,
        /// Its target.
        slow: u64,
    },
    /// glibc's read in a program with threads: the three instructions before the last two.
    ReadWithThreads([u8; 12]),
}

/// A call site in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Site {
    /// What it looks like.
    pub form: Form,
    /// Address behind the `syscall` instruction.
    pub end: u64,
}

/// A distance that an instruction can hold.
fn distance(to: u64, from: u64) -> Option<[u8; 4]> {
    let distance = to.wrapping_sub(from) as i64;
    i32::try_from(distance).ok().map(i32::to_le_bytes)
}

/// Whether the four bytes of `mov eax, NR`, whose opcode is the last of `bytes` but those, could belong to a longer
/// instruction: one with a prefix, or an immediate operand behind a displacement that ends in that opcode.
fn may_be_longer(before: &[u8]) -> bool {
    let prefix = before
        .last()
        .is_some_and(|byte| (0x40..=0x4f).contains(byte));
    let takes_operand = |byte: &u8| matches!(byte, 0xc7 | 0x81 | 0x69 | 0xf7);
    prefix || before.iter().rev().take(3).any(takes_operand)
}

impl Site {
    /// The site whose `syscall` instruction ends at `end`, with the bytes `before` that; the call's number was `nr`. None
    /// for one that stays as it is.
    pub(super) fn recognise(before: &[u8; BEFORE], end: u64, nr: u64) -> Option<Self> {
        let (before, syscall) = before.split_last_chunk::<2>()?;
        if *syscall != SYSCALL {
            return None;
        }
        let (rest, number) = before.split_last_chunk::<4>()?;
        let (rest, opcode) = rest.split_last_chunk::<1>()?;
        let number = u32::from_le_bytes(*number);
        let form = if *opcode == [0xb8] && u64::from(number) == nr && !may_be_longer(rest) {
            Form::Number(number)
        } else {
            let read = Self::read(before, end).or_else(|| Self::read_with_threads(before));
            read.filter(|_| nr == 0)?
        };
        Some(Self { form, end })
    }

    fn read(before: &[u8], end: u64) -> Option<Form> {
        let (rest, zero) = before.split_last_chunk::<2>()?;
        let (rest, jump) = rest.split_last_chunk::<2>()?;
        let (_, compare) = rest.split_last_chunk::<7>()?;
        let [0x80, 0x3d, flag @ .., 0] = compare else {
            return None;
        };
        let (&[opcode, short], jump_end) = (jump, end.wrapping_sub(4));
        if *zero != ZERO_EAX || !matches!(opcode, 0x74 | 0x75) {
            return None;
        }
        let flag = i64::from(i32::from_le_bytes(*flag));
        Some(Form::Read {
            flag: jump_end.wrapping_sub(2).wrapping_add_signed(flag),
            jump: opcode,
            slow: jump_end.wrapping_add_signed(i64::from(short as i8)),
        })
    }

    fn read_with_threads(before: &[u8]) -> Option<Form> {
        let (rest, zero) = before.split_last_chunk::<2>()?;
        let moves = rest.last_chunk::<12>()?;
        let [
            0x48,
            0x8b,
            0x74,
            0x24,
            _,
            0x41,
            0x89,
            0xc0,
            0x8b,
            0x7c,
            0x24,
            _,
        ] = moves
        else {
            return None;
        };
        (*zero == ZERO_EAX).then_some(Form::ReadWithThreads(*moves))
    }

    /// Address of the instruction that becomes a jump.
    pub(super) fn start(&self) -> u64 {
        self.end.wrapping_sub(match self.form {
            Form::Number(_) => 7,
            Form::Read { .. } => 13,
            Form::ReadWithThreads(_) => 16,
        })
    }

    /// The bytes that the jump replaces.
    pub(super) fn replaced(&self) -> [u8; JUMP] {
        let mut bytes = [0; JUMP];
        match self.form {
            Form::Number(number) => {
                bytes[0] = 0xb8;
                bytes[1..].copy_from_slice(&number.to_le_bytes());
            }
            Form::Read { flag, .. } => {
                let distance = flag.wrapping_sub(self.start().wrapping_add(7)) as u32;
                [bytes[0], bytes[1]] = [0x80, 0x3d];
                bytes[2..].copy_from_slice(&distance.to_le_bytes()[..3]);
            }
            Form::ReadWithThreads(moves) => bytes.copy_from_slice(&moves[..JUMP]),
        }
        bytes
    }

    /// The jump from it to `thunk`; None if that is too far away.
    pub(super) fn jump(&self, thunk: u64) -> Option<[u8; JUMP]> {
        let distance = distance(thunk, self.start().wrapping_add(JUMP as u64))?;
        let mut jump = [0xe9; JUMP];
        jump[1..].copy_from_slice(&distance);
        Some(jump)
    }

    /// The thunk at `at`, which goes on at the address that lies at `pointer`; None if something is too far away.
    pub(super) fn thunk(&self, at: u64, pointer: u64) -> Option<Vec<u8>> {
        let mut code = Vec::with_capacity(THUNK as usize);
        let here = |code: &Vec<u8>, more: u64| at.wrapping_add(code.len() as u64 + more);
        match self.form {
            Form::Number(number) => {
                code.push(0xb8);
                code.extend(number.to_le_bytes());
            }
            Form::Read { flag, jump, slow } => {
                let to_flag = distance(flag, here(&code, 7))?;
                code.extend([0x80, 0x3d]);
                code.extend(to_flag);
                code.push(0);
                let to_slow = distance(slow, here(&code, 6))?;
                code.extend([0x0f, jump + 0x10]);
                code.extend(to_slow);
                code.extend(ZERO_EAX);
            }
            Form::ReadWithThreads(moves) => {
                code.extend(moves);
                code.extend(ZERO_EAX);
            }
        }
        let to_end = distance(self.end, here(&code, 7))?;
        code.extend([0x48, 0x8d, 0x0d]); // lea rcx, [rip + end]
        code.extend(to_end);
        let to_pointer = distance(pointer, here(&code, 6))?;
        code.extend([0xff, 0x25]); // jmp [rip + pointer]
        code.extend(to_pointer);
        debug_assert!(code.len() <= THUNK as usize);
        Some(code)
    }

    /// The address in the program's own code at which it is when it is at `offset` of its thunk: what is there does the
    /// same from there on.
    pub(super) fn original(&self, offset: u64) -> u64 {
        match self.form {
            _ if offset == 0 => self.start(),
            Form::Number(_) => self.end.wrapping_sub(2),
            Form::Read { .. } => match offset {
                7 => self.end.wrapping_sub(6),
                13 => self.end.wrapping_sub(4),
                _ => self.end.wrapping_sub(2),
            },
            Form::ReadWithThreads(_) => match offset {
                5 => self.end.wrapping_sub(11),
                8 => self.end.wrapping_sub(8),
                12 => self.end.wrapping_sub(4),
                _ => self.end.wrapping_sub(2),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u64 = 0x7f00_0000_1000;

    fn site(code: &[u8], nr: u64) -> Option<Site> {
        let mut before = [0x90; BEFORE];
        before[BEFORE - code.len()..].copy_from_slice(code);
        Site::recognise(&before, END, nr)
    }

    const GETPPID: [u8; 7] = [0xb8, 110, 0, 0, 0, 0x0f, 0x05];
    const READ: [u8; 13] = [
        0x80, 0x3d, 0x10, 0, 0, 0, 0, 0x74, 0x20, 0x31, 0xc0, 0x0f, 0x05,
    ];

    #[test]
    fn a_number_right_before_the_call_is_recognised() {
        let site = site(&GETPPID, 110).unwrap();
        assert_eq!(site.form, Form::Number(110));
        assert_eq!(site.start(), END - 7);
    }

    #[test]
    fn what_may_be_part_of_a_longer_instruction_is_not() {
        assert_eq!(site(&GETPPID, 111), None);
        for before in [
            &[0x41u8][..],       // mov r8d, NR
            &[0xc7, 0x45],       // mov dword ptr [rbp - 72], NR
            &[0xc7, 0x44, 0x24], // mov dword ptr [rsp - 72], NR
            &[0x81, 0x7d],       // cmp
        ] {
            let code = [before, &GETPPID].concat();
            assert_eq!(site(&code, 110), None, "{before:x?}");
        }
    }

    #[test]
    fn glibcs_read_is_recognised() {
        let site = site(&READ, 0).unwrap();
        let expected = Form::Read {
            flag: END - 6 + 0x10,
            jump: 0x74,
            slow: END - 4 + 0x20,
        };
        assert_eq!((site.form, site.start()), (expected, END - 13));
        let mut other = READ;
        other[7] = 0x77;
        assert_eq!(super::tests::site(&other, 0), None);
    }

    const READ_WITH_THREADS: [u8; 16] = [
        0x48, 0x8b, 0x74, 0x24, 16, 0x41, 0x89, 0xc0, 0x8b, 0x7c, 0x24, 8, 0x31, 0xc0, 0x0f, 0x05,
    ];

    #[test]
    fn glibcs_read_with_threads_is_moved_as_it_is() {
        let site = site(&READ_WITH_THREADS, 0).unwrap();
        assert_eq!(site.start(), END - 16);
        let thunk = site.thunk(END - 0x1000, END - 0x2000).unwrap();
        assert_eq!(thunk[..14], READ_WITH_THREADS[..14]);
        let places = [0, 5, 8, 12, 14, 21].map(|at| site.original(at));
        assert_eq!(places, [16, 11, 8, 4, 2, 2].map(|back| END - back));
    }

    #[test]
    fn a_thunk_does_what_it_replaces() {
        let (at, pointer) = (END - 0x10_0000, END - 0x11_0000);
        let relative = |code: &[u8], field: usize| {
            let bytes: [u8; 4] = code[field..field + 4].try_into().unwrap();
            let distance = i64::from(i32::from_le_bytes(bytes));
            distance.wrapping_add(field as i64 + 4)
        };
        let to = |code: &[u8], field| at.wrapping_add_signed(relative(code, field));
        let number = site(&GETPPID, 110).unwrap().thunk(at, pointer).unwrap();
        assert_eq!(number[..5], GETPPID[..5]);
        assert_eq!((to(&number, 8), to(&number, 14)), (END, pointer));
        let read = site(&READ, 0).unwrap();
        let code = read.thunk(at, pointer).unwrap();
        assert_eq!(code[..2], [0x80, 0x3d]);
        // The compared byte comes before the operand that ends the instruction.
        assert_eq!(to(&code, 2).wrapping_add(1), END - 6 + 0x10);
        assert_eq!(code[6..9], [0, 0x0f, 0x84]);
        assert_eq!(to(&code, 9), END - 4 + 0x20);
        assert_eq!((to(&code, 18), to(&code, 24)), (END, pointer));
    }

    #[test]
    fn what_is_replaced_can_be_put_back() {
        let cases: [(&[u8], u64); 3] = [(&GETPPID, 110), (&READ, 0), (&READ_WITH_THREADS, 0)];
        for (code, nr) in cases {
            assert_eq!(site(code, nr).unwrap().replaced(), code[..JUMP]);
        }
    }

    #[test]
    fn nothing_is_replaced_by_what_is_too_far_away() {
        let site = site(&GETPPID, 110).unwrap();
        assert_eq!(site.jump(END + (1 << 31)), None);
        assert_eq!(site.thunk(END + (1 << 31), END), None);
        let jump = site.jump(END).unwrap();
        assert_eq!(jump, [0xe9, 2, 0, 0, 0]);
    }

    #[test]
    fn each_instruction_of_a_thunk_has_its_place_in_the_program() {
        let number = site(&GETPPID, 110).unwrap();
        assert_eq!(
            [0, 5, 12].map(|at| number.original(at)),
            [END - 7, END - 2, END - 2]
        );
        let read = site(&READ, 0).unwrap();
        let places = [0, 7, 13, 15, 22].map(|at| read.original(at));
        assert_eq!(places, [END - 13, END - 6, END - 4, END - 2, END - 2]);
    }
}
