use crate::failure::{Failure, Outcome};
use crate::typed::RecordArgs;

pub(crate) fn run(_args: &RecordArgs) -> Outcome {
    Err(Failure::Other("not there yet".into()))
}
