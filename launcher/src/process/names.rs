//! What memory is called: by what the kernel knows of it, and by the program itself.

use std::ops::Range;
use std::sync::Arc;

use super::mappings::{Backing, Identity, Label, Mapping, Mappings, Piece};
use super::state::World;

/// Most bytes that a thread library keeps above the first stack pointer, for the thread's own variables.
const STACK_TOP: u64 = 256 << 10;

impl World {
    /// Like [`World::retire`], for memory that stays while the mapping is told as another one from now on.
    fn retire_in_place(&self, table: &Mappings, range: &Range<u64>, mapping: &mut Mapping) {
        self.retire(table, range);
        self.memory.drop_translations(range, mapping.prot);
        mapping.identity = Identity::default();
    }

    /// Notes that the memory below `stack_pointer` is the stack of a new thread. What it was used for before is
    /// another mapping's.
    pub(crate) fn name_stack(&self, thread: i32, stack_pointer: u64) {
        let mut table = self.memory.write();
        let Some((range, mapping)) = table.at(stack_pointer.wrapping_sub(1)) else {
            return;
        };
        // Within a larger piece of memory it is the program's own affair what is a stack.
        let own = mapping.backing == Backing::Anonymous && !mapping.shared;
        if !own || range.end - stack_pointer > STACK_TOP {
            return;
        }
        let (range, mut mapping) = (range.clone(), mapping.clone());
        if mapping.thread() != 0 {
            self.retire_in_place(&table, &range, &mut mapping);
        }
        mapping.label = Some(Label {
            thread: thread as u32,
            name: format!("[stack:{thread}]").into(),
        });
        table.insert(range, mapping);
    }

    /// Names the anonymous memory in `range`, or takes its name away. A mapping without a name that gets one as a
    /// whole is still the same; else what it was until now is another mapping's.
    pub(crate) fn name_memory(&self, range: Range<u64>, name: Option<&str>) {
        let mut table = self.memory.write();
        for Piece { range, mut mapping } in table.pieces(range) {
            let kind = match (&mapping.backing, mapping.shared) {
                (Backing::Anonymous, false) => "anon",
                (Backing::Anonymous, true) => "anon_shmem",
                _ => continue,
            };
            let label = name.map(|name| Label {
                thread: mapping.thread(),
                name: format!("[{kind}:{name}]").into(),
            });
            if label == mapping.label {
                continue;
            }
            let is_whole = table.at(range.start).map(|(whole, _)| whole) == Some(&range);
            let was_named = mapping.label.is_some();
            mapping.label = label;
            if was_named || !is_whole {
                self.retire_in_place(&table, &range, &mut mapping);
            }
            table.insert(range, mapping);
        }
    }

    /// Gives whatever is mapped in `range` a name of the program's own, which stays until it is unmapped or named
    /// again; whether there is anything. What it was until now is another mapping's.
    pub(crate) fn name_region(&self, range: Range<u64>, name: &str) -> bool {
        let mut table = self.memory.write();
        let pieces = table.pieces(range);
        let is_mapped = !pieces.is_empty();
        let name: Arc<str> = name.into();
        for Piece { range, mut mapping } in pieces {
            if mapping.region.as_ref() == Some(&name) {
                continue;
            }
            mapping.region = Some(name.clone());
            // The launcher runs in the kernel's pages, too, and the program cannot write to them.
            if !matches!(mapping.backing, Backing::Special(_)) {
                self.retire_in_place(&table, &range, &mut mapping);
            }
            table.insert(range, mapping);
        }
        is_mapped
    }
}
