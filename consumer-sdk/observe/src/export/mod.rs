use crate::failure::{Failure, Outcome};
use crate::typed::ExportArgs;

pub(crate) fn run(_args: &ExportArgs) -> Outcome {
    Err(Failure::Other("not there yet".into()))
}
