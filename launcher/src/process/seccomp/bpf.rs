//! Classic BPF as seccomp(2) takes it: checked as the kernel does (bpf_check_classic and
//! check_load_and_stores of net/core/filter.c, seccomp_check_filter of kernel/seccomp.c), and
//! interpreted.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Most instructions of one program (BPF_MAXINSNS).
pub(crate) const LONGEST: usize = 4096;
/// BPF_MEMWORDS.
const CELLS: usize = 16;
/// Words of struct seccomp_data.
const DATA_WORDS: usize = 16;
/// Its bytes, which is what the "length of the packet" is.
const DATA_BYTES: u32 = 4 * DATA_WORDS as u32;

/// struct sock_filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Instruction {
    /// Class, size or operation, and mode or source.
    pub code: u16,
    /// Instructions to skip where the condition holds,
    pub jt: u8,
    /// and where it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// struct seccomp_data, as the words that a program loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Data([u32; DATA_WORDS]);

/// AUDIT_ARCH_X86_64.
pub(crate) const ARCH: u32 = 0xc000_003e;

impl Data {
    /// A call of number `nr` whose instruction ends at `ip`.
    pub(crate) fn new(nr: i32, ip: u64, args: &[u64; 6]) -> Self {
        let mut words = [0; DATA_WORDS];
        (words[0], words[1]) = (nr as u32, ARCH);
        for (pair, value) in words[2..]
            .chunks_exact_mut(2)
            .zip([&ip].into_iter().chain(args))
        {
            (pair[0], pair[1]) = (*value as u32, (*value >> 32) as u32);
        }
        Self(words)
    }

    /// The number, as the kernel has it.
    pub(crate) fn nr(&self) -> i32 {
        self.0[0] as i32
    }

    /// Where the call's instruction ends.
    pub(crate) fn ip(&self) -> u64 {
        u64::from(self.0[3]) << 32 | u64::from(self.0[2])
    }
}

// The instructions that seccomp allows (linux/bpf_common.h).
const LD_W_ABS: u16 = 0x20;
const LD_W_LEN: u16 = 0x80;
const LDX_W_LEN: u16 = 0x81;
const LD_IMM: u16 = 0x00;
const LDX_IMM: u16 = 0x01;
const LD_MEM: u16 = 0x60;
const LDX_MEM: u16 = 0x61;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const RET_K: u16 = 0x06;
const RET_A: u16 = 0x16;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;
const NEG: u16 = 0x84;
const JA: u16 = 0x05;
/// Class of arithmetic, with the operation in the upper half and [`SOURCE_X`].
const ALU: u16 = 0x04;
/// Class of jumps.
const JMP: u16 = 0x05;
/// The operand is X, not the constant.
const SOURCE_X: u16 = 0x08;

const ADD: u16 = 0x00;
const SUB: u16 = 0x10;
const MUL: u16 = 0x20;
const DIV: u16 = 0x30;
const OR: u16 = 0x40;
const AND: u16 = 0x50;
const LSH: u16 = 0x60;
const RSH: u16 = 0x70;
const XOR: u16 = 0xa0;

const JEQ: u16 = 0x10;
const JGT: u16 = 0x20;
const JGE: u16 = 0x30;
const JSET: u16 = 0x40;

/// The kernel would answer EINVAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Invalid;

/// A program that passed the kernel's checks, so that it ends, and never leaves its data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program(Vec<Instruction>);

/// What kind of instruction a code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Arithmetic(u16),
    Jump,
    Branch(u16),
    Return,
}

fn kind(code: u16) -> Option<Kind> {
    let operation = code & 0xf0;
    Some(match code {
        LD_W_ABS | LD_W_LEN | LDX_W_LEN | LD_IMM | LDX_IMM | LD_MEM | LDX_MEM | ST | STX | TAX
        | TXA | NEG => Kind::Plain,
        RET_K | RET_A => Kind::Return,
        JA => Kind::Jump,
        _ if code > 0xff => return None,
        _ => match (code & 7, operation) {
            (ALU, ADD | SUB | MUL | DIV | OR | AND | LSH | RSH | XOR) => {
                Kind::Arithmetic(operation)
            }
            (JMP, JEQ | JGT | JGE | JSET) => Kind::Branch(operation),
            _ => return None,
        },
    })
}

impl Program {
    /// Checks `code` as the kernel would.
    ///
    /// # Errors
    /// Where the kernel would answer EINVAL.
    pub(crate) fn check(code: Vec<Instruction>) -> Result<Self, Invalid> {
        if code.is_empty() || code.len() > LONGEST {
            return Err(Invalid);
        }
        for (at, instruction) in code.iter().enumerate() {
            check_one(instruction, code.len() - at - 1)?;
        }
        let last = code[code.len() - 1].code;
        if kind(last) != Some(Kind::Return) || !only_loads_what_was_stored(&code) {
            return Err(Invalid);
        }
        Ok(Self(code))
    }

    /// The instructions.
    pub(crate) fn code(&self) -> &[Instruction] {
        &self.0
    }

    /// How many instructions the kernel makes of it (bpf_convert_filter): what counts for its limit.
    pub(crate) fn converted_len(&self) -> usize {
        3 + self.0.iter().map(converted).sum::<usize>()
    }

    /// The program's answer to `data`.
    pub(crate) fn run(&self, data: &Data) -> u32 {
        let (mut a, mut x, mut at) = (0u32, 0u32, 0usize);
        let mut cells = [0u32; CELLS];
        // Jumps lead forward only, so this ends; beyond the end there is nothing.
        while let Some(&Instruction { code, jt, jf, k }) = self.0.get(at) {
            at += 1;
            let cell = k as usize % CELLS;
            match code {
                LD_W_ABS => a = data.0[(k / 4) as usize % DATA_WORDS],
                LD_W_LEN => a = DATA_BYTES,
                LDX_W_LEN => x = DATA_BYTES,
                LD_IMM => a = k,
                LDX_IMM => x = k,
                LD_MEM => a = cells[cell],
                LDX_MEM => x = cells[cell],
                ST => cells[cell] = a,
                STX => cells[cell] = x,
                TAX => x = a,
                TXA => a = x,
                NEG => a = a.wrapping_neg(),
                RET_K => return k,
                RET_A => return a,
                JA => at += k as usize,
                _ => {
                    let operand = if code & SOURCE_X != 0 { x } else { k };
                    if code & 7 == JMP {
                        let holds = branches(code & 0xf0, a, operand);
                        at += usize::from(if holds { jt } else { jf });
                    } else if let Some(result) = arithmetic(code & 0xf0, a, operand) {
                        a = result;
                    } else {
                        return 0;
                    }
                }
            }
        }
        0
    }
}

/// The checks of one instruction that `after` others follow.
fn check_one(instruction: &Instruction, after: usize) -> Result<(), Invalid> {
    let &Instruction { code, jt, jf, k } = instruction;
    let by_constant = code & SOURCE_X == 0;
    let valid = match kind(code).ok_or(Invalid)? {
        Kind::Arithmetic(DIV) if by_constant => k != 0,
        Kind::Arithmetic(LSH | RSH) if by_constant => k < 32,
        Kind::Jump => (k as usize) < after,
        Kind::Branch(_) => usize::from(jt.max(jf)) < after,
        Kind::Plain => match code {
            LD_MEM | LDX_MEM | ST | STX => (k as usize) < CELLS,
            LD_W_ABS => k < DATA_BYTES && k % 4 == 0,
            _ => true,
        },
        _ => true,
    };
    valid.then_some(()).ok_or(Invalid)
}

/// Whether every cell that is loaded was stored to on every way there (check_load_and_stores).
fn only_loads_what_was_stored(code: &[Instruction]) -> bool {
    let mut reaching = vec![u16::MAX; code.len()];
    let mut stored = 0u16;
    for (at, &Instruction { code, jt, jf, k }) in code.iter().enumerate() {
        stored &= reaching[at];
        let mut leads_to = |distance: usize| reaching[at + 1 + distance] &= stored;
        match kind(code) {
            Some(Kind::Jump) => {
                leads_to(k as usize);
                stored = u16::MAX;
            }
            Some(Kind::Branch(_)) => {
                leads_to(jt.into());
                leads_to(jf.into());
                stored = u16::MAX;
            }
            _ if matches!(code, ST | STX) => stored |= 1 << k,
            _ if matches!(code, LD_MEM | LDX_MEM) && stored & 1 << k == 0 => return false,
            _ => {}
        }
    }
    true
}

/// The kernel's instructions for one of a program.
fn converted(&Instruction { code, jt, jf, k }: &Instruction) -> usize {
    let by_constant = code & SOURCE_X == 0;
    match kind(code) {
        // The divisor is looked at first.
        Some(Kind::Arithmetic(DIV)) if !by_constant => 5,
        Some(Kind::Return) if code == RET_K => 2,
        Some(Kind::Branch(operation)) => {
            let large = usize::from(by_constant && k > i32::MAX as u32);
            let inverted = jt == 0 && operation != JSET;
            large + if jf == 0 || inverted { 1 } else { 2 }
        }
        _ => 1,
    }
}

fn branches(operation: u16, a: u32, operand: u32) -> bool {
    match operation {
        JEQ => a == operand,
        JGT => a > operand,
        JGE => a >= operand,
        _ => a & operand != 0,
    }
}

/// `None`: a division by zero, which ends the program with 0.
fn arithmetic(operation: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        ADD => a.wrapping_add(operand),
        SUB => a.wrapping_sub(operand),
        MUL => a.wrapping_mul(operand),
        DIV => a.checked_div(operand)?,
        OR => a | operand,
        AND => a & operand,
        LSH => a.wrapping_shl(operand),
        RSH => a.wrapping_shr(operand),
        _ => a ^ operand,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    fn valid(code: &[Instruction]) -> bool {
        Program::check(code.to_vec()).is_ok()
    }

    fn result(code: &[Instruction]) -> u32 {
        let program = Program::check(code.to_vec()).expect("a valid program");
        program.run(&Data::new(
            -1,
            0x1122_3344_5566_7788,
            &[7, 1 << 63, 0, 0, 0, 0xabc],
        ))
    }

    const END: Instruction = Instruction {
        code: RET_A,
        jt: 0,
        jf: 0,
        k: 0,
    };

    #[test]
    fn the_data_is_laid_out_as_the_kernels() {
        let words = [u32::MAX, ARCH, 0x5566_7788, 0x1122_3344, 7, 0, 0, 1 << 31];
        for (at, word) in words.into_iter().enumerate() {
            assert_eq!(result(&[of(LD_W_ABS, 0, 0, 4 * at as u32), END]), word);
        }
        assert_eq!(result(&[of(LD_W_ABS, 0, 0, 56), END]), 0xabc);
        assert_eq!(result(&[of(LD_W_LEN, 0, 0, 0), END]), 64);
    }

    #[test]
    fn programs_that_could_go_astray_are_refused() {
        assert!(valid(&[END]));
        assert!(!valid(&[]));
        assert!(!valid(&vec![END; LONGEST + 1]));
        assert!(!valid(&[of(LD_IMM, 0, 0, 0)]));
        for wrong in [
            of(LD_W_ABS, 0, 0, 64),
            of(LD_W_ABS, 0, 0, 2),
            of(JA, 0, 0, 1),
            of(JA, 0, 0, u32::MAX),
            of(JMP | JEQ, 1, 0, 0),
            of(JMP | JEQ, 0, 1, 0),
            of(ST, 0, 0, 16),
            of(LD_MEM, 0, 0, 0),
            of(ALU | DIV, 0, 0, 0),
            of(ALU | LSH, 0, 0, 32),
            of(ALU | 0x90, 0, 0, 1),
            of(0x106, 0, 0, 0),
            of(0x28, 0, 0, 0),
        ] {
            assert!(!valid(&[wrong, END]), "{wrong:?}");
        }
    }

    #[test]
    fn a_cell_must_be_stored_to_on_every_way_to_its_load() {
        let one_way = [
            of(JMP | JEQ, 0, 1, 0),
            of(ST, 0, 0, 3),
            of(LD_MEM, 0, 0, 3),
            END,
        ];
        assert!(!valid(&one_way));
        let both_ways = [
            of(JMP | JEQ, 0, 2, 0),
            of(ST, 0, 0, 3),
            of(JA, 0, 0, 1),
            of(STX, 0, 0, 3),
            of(LD_MEM, 0, 0, 3),
            END,
        ];
        assert!(valid(&both_ways));
    }

    #[test]
    fn arithmetic_is_that_of_32_bits() {
        let with = |code, a, operand| {
            let by_x = [
                of(LD_IMM, 0, 0, a),
                of(LDX_IMM, 0, 0, operand),
                of(ALU | SOURCE_X | code, 0, 0, 0),
                END,
            ];
            result(&by_x)
        };
        assert_eq!(with(ADD, u32::MAX, 3), 2);
        assert_eq!(with(SUB, 1, 2), u32::MAX);
        assert_eq!(with(MUL, 1 << 31, 3), 1 << 31);
        assert_eq!(with(DIV, 7, 2), 3);
        assert_eq!(with(DIV, 7, 0), 0);
        assert_eq!(with(LSH, 1, 33), 2);
        assert_eq!(with(RSH, 4, 33), 2);
        assert_eq!(with(XOR, 5, 1), 4);
        assert_eq!(
            result(&[of(LD_IMM, 0, 0, 1), of(NEG, 0, 0, 0), END]),
            u32::MAX
        );
    }

    #[test]
    fn branches_compare_without_sign() {
        let taken = |code, a, k| {
            let program = [
                of(LD_IMM, 0, 0, a),
                of(JMP | code, 0, 1, k),
                of(RET_K, 0, 0, 1),
                of(RET_K, 0, 0, 0),
            ];
            result(&program) == 1
        };
        assert!(taken(JGT, u32::MAX, 1) && !taken(JGT, 1, 1));
        assert!(taken(JGE, 1, 1) && !taken(JGE, 1, 1 << 31));
        assert!(taken(JSET, 6, 2) && !taken(JSET, 4, 2));
    }

    #[test]
    fn length_counts_what_the_kernel_makes_of_a_program() {
        let len = |code: &[Instruction]| Program::check(code.to_vec()).map(|p| p.converted_len());
        assert_eq!(len(&[END]), Ok(4));
        assert_eq!(len(&[of(RET_K, 0, 0, 0)]), Ok(5));
        let ends = [END, END, END];
        let branch = |code, jt, jf, k| {
            let mut program = vec![of(JMP | code, jt, jf, k)];
            program.extend(ends);
            len(&program).map(|n| n - 6)
        };
        assert_eq!(branch(JEQ, 1, 0, 0), Ok(1));
        assert_eq!(branch(JEQ, 0, 1, 0), Ok(1));
        assert_eq!(branch(JSET, 0, 1, 0), Ok(2));
        assert_eq!(branch(JEQ, 1, 2, u32::MAX), Ok(3));
    }
}
