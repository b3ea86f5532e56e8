use crate::analysis::model::Analysis;
pub(super) fn report(a: &Analysis) -> String {
    format!("{a:?}")
}
