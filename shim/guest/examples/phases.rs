//! Names memory, ends epochs and marks phases, as often as the first argument says; then waits until its standard input
//! ends, so that there is time to look at it: `vmmload dump PID`.

use std::io::Read;

const PAGE: usize = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let marks = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let mut table = vec![0_u8; 3 * PAGE];
    for _ in 1..marks {
        vmmload_guest::mark(c"again and again")?;
    }
    vmmload_guest::mark(c"load")?;
    let first = table.as_ptr().align_offset(PAGE);
    let part = &table[first + PAGE / 2..][..PAGE];
    vmmload_guest::name_region(part, c"table of \xc3\xa4")?;
    table[first] = 1;
    let epoch = vmmload_guest::epoch();
    table[first + PAGE] = 1;
    let next = vmmload_guest::epoch();
    vmmload_guest::mark(c"compute")?;

    let inside = vmmload_guest::inside();
    let number = |epoch: Option<std::num::NonZeroU64>| epoch.map_or(0, u64::from);
    let address = table.as_ptr().wrapping_add(first).addr();
    println!("inside {}", u8::from(inside));
    println!("epochs {} {}", number(epoch), number(next));
    println!("table {:#x}", if inside { address } else { 0 });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
