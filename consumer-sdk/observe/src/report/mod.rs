use crate::failure::{Failure, Outcome};
use crate::typed::ReportArgs;

pub(crate) fn run(_args: &ReportArgs) -> Outcome {
    Err(Failure::Other("not there yet".into()))
}
