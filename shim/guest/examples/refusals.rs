//! What vmmload refuses, and that nothing is refused natively, where the arguments are not looked at.

use std::ffi::{CStr, CString};
use vmmload_guest::{Refused, mark, name_region};

// asm-generic/errno-base.h and errno.h
const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;
const ENAMETOOLONG: i32 = 36;

#[track_caller]
fn refused(errno: i32, result: Result<(), Refused>) {
    let expected = if vmmload_guest::inside() { errno } else { 0 };
    assert_eq!(result.err().map_or(0, Refused::errno), expected);
    if let Err(refused) = result {
        assert!(refused.to_string().starts_with("vmmload has refused: the "));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let of_length = |bytes: usize| CString::new(vec![b'x'; bytes]);
    let (longest, longer) = (of_length(255)?, of_length(256)?);
    let memory = vec![1_u32; 5000];
    mark(&longest)?;
    refused(EINVAL, mark(c""));
    refused(ENAMETOOLONG, mark(&longer));
    name_region(&memory[..], &longest)?;
    name_region(&memory[4999..], c"the last word")?;
    refused(EINVAL, name_region(&memory[..], c""));
    refused(EINVAL, name_region(&memory[..0], c"nothing"));
    refused(ENAMETOOLONG, name_region(&memory[..], &longer));
    let nowhere = std::ptr::slice_from_raw_parts(4096 as *const u8, 4096);
    refused(ENOMEM, name_region(nowhere, c"nowhere"));
    let everywhere = std::ptr::slice_from_raw_parts(4096 as *const [u8; 4096], usize::MAX);
    refused(EINVAL, name_region(everywhere, c"everywhere"));
    let name: &CStr = c"end";
    mark(name)?;
    Ok(())
}
