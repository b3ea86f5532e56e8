use crate::failure::{Failure, Outcome};
use crate::typed::TopArgs;

pub(crate) fn run(_args: &TopArgs) -> Outcome {
    Err(Failure::Other("not there yet".into()))
}
