use crate::failure::{Failure, Outcome};
use crate::typed::DiffArgs;

pub(crate) fn run(_args: &DiffArgs) -> Outcome {
    Err(Failure::Other("not there yet".into()))
}
