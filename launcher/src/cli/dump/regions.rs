//! `vmmload dump --regions`: of each touched 2 MiB of the address space, how much was touched.

use crate::cli::numbers::counted;
use crate::cli::{Format, json_string, printable};
use std::io::{self, Write};
use vmmload_consumer::{Consumer, HugePage, Mapping, Mappings};

/// Characters of the bar that shows a whole region.
const BAR: u32 = 16;

/// Prints one line for each region, by address.
pub(super) fn print(
    consumer: &Consumer,
    format: Format,
    output: &mut impl Write,
) -> io::Result<()> {
    let mappings = consumer.mappings().unwrap_or_default();
    let regions = consumer.huge_pages();
    let info = consumer.info();
    if format == Format::Text {
        let (pid, command) = (info.pid, info.command_line());
        let count = counted(regions.len() as u64, "region");
        writeln!(
            output,
            "process {pid}: {command} ({count} of 2 MiB touched since the start)"
        )?;
    }
    for region in &regions {
        let place = Place::of(region, &mappings);
        match format {
            Format::Text => print_text(region, &place, output)?,
            Format::Json => print_json(info.pid, region, &place, output)?,
        }
    }
    output.flush()
}

/// What is mapped in a region.
struct Place<'m> {
    /// The mapping with the largest part in it.
    largest: Option<&'m Mapping>,
    /// How many have a part.
    mappings: usize,
}

impl<'m> Place<'m> {
    fn of(region: &HugePage, mappings: &'m Mappings) -> Self {
        let inside = region.mappings(mappings);
        let (start, end) = (region.addr, region.addr.saturating_add(HugePage::BYTES));
        let part = |mapping: &&&Mapping| {
            let last = mapping.end.min(end);
            last.saturating_sub(mapping.start.max(start))
        };
        Self {
            largest: inside.iter().max_by_key(part).copied(),
            mappings: inside.len(),
        }
    }
}

fn print_text(region: &HugePage, place: &Place<'_>, output: &mut impl Write) -> io::Result<()> {
    let HugePage {
        addr,
        touched,
        written,
        read,
        kernel,
    } = region;
    // A region with a single page shows one mark, and only a full one shows all.
    let marks = (touched * BAR / HugePage::PAGES).max(1) as usize;
    let bar = "#".repeat(marks);
    let width = BAR as usize;
    let name = match place.largest {
        None => "(not mapped any more)".into(),
        Some(mapping) if mapping.name.is_empty() => "(anonymous memory)".into(),
        Some(mapping) => printable(&mapping.name),
    };
    let others = match place.mappings {
        0 | 1 => String::new(),
        several => format!(" and {} more", several - 1),
    };
    writeln!(
        output,
        "region  {addr:#014x}  {touched:>3} of 512  [{bar:<width$}]  {written:>3} written  \
         {read:>3} read  {kernel:>3} by the kernel  {name}{others}"
    )
}

fn print_json(
    pid: u32,
    region: &HugePage,
    place: &Place<'_>,
    output: &mut impl Write,
) -> io::Result<()> {
    let HugePage {
        addr,
        touched,
        written,
        read,
        kernel,
    } = region;
    let name = place
        .largest
        .map_or("null".into(), |mapping| json_string(&mapping.name));
    let mapping = place.largest.map_or(0, |mapping| mapping.id);
    let (pages, mappings) = (HugePage::PAGES, place.mappings);
    writeln!(
        output,
        r#"{{"type":"region","pid":{pid},"addr":"{addr:#x}","pages":{pages},"touched":{touched},"written":{written},"read":{read},"kernel":{kernel},"name":{name},"mapping":{mapping},"mappings":{mappings}}}"#
    )
}
