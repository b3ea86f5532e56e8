//! Which format a client wants.

/// Whether the values of a request's `Accept` headers ask for OpenMetrics by name, and for nothing else of ours more than
/// for that. Who asks for anything, as browsers and curl do, or for nothing, gets the older format: it is plain text to
/// everybody, and what other exporters do.
pub(crate) fn wants_openmetrics<'a>(accept: impl Iterator<Item = &'a str>) -> bool {
    let (mut openmetrics, mut plain) = (0.0_f64, 0.0_f64);
    for range in accept.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let (mut quality, mut is_ours) = (1.0, true);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                "version" => is_ours = value.trim().trim_matches('"').starts_with("1."),
                _ => {}
            }
        }
        if kind.eq_ignore_ascii_case("application/openmetrics-text") && is_ours {
            openmetrics = openmetrics.max(quality);
        } else if kind.eq_ignore_ascii_case("text/plain") {
            plain = plain.max(quality);
        }
    }
    openmetrics > 0.0 && openmetrics >= plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        for (accept, wants) in [
            // Prometheus 2.42.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                true,
            ),
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.4,\
                 */*;q=0.1",
                true,
            ),
            ("application/openmetrics-text", true),
            (
                "Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.3",
                true,
            ),
            ("application/openmetrics-text;version=0.0.1", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=0.2,text/plain", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("*/*", false),
            ("", false),
            (";;;,,q=,=;q=x", false),
        ] {
            assert_eq!(wants_openmetrics([accept].into_iter()), wants, "{accept}");
        }
        assert!(!wants_openmetrics([].into_iter()));
        let two = ["text/plain;q=0.1", "application/openmetrics-text"];
        assert!(wants_openmetrics(two.into_iter()));
    }
}
