//! The scaffold of pages for the browser: one file with everything in it.
//!
//! Whatever such a page shows comes from recordings, and so from programs that may be hostile: text is escaped, data is
//! in elements that are no script, and the page itself forbids to fetch anything from anywhere.

use super::look;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const HEAT: &str = include_str!("page/heat.js");

/// Nothing may be fetched. Images are what the charts' script makes of a chart that is saved as a picture.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      img-src data: blob:; base-uri 'none'; form-action 'none'";

/// A complete page with a body, which is HTML. The title is text.
pub(crate) fn document(title: &str, body: &str) -> String {
    let (title, plotly) = (escape(title), plotly());
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         {plotly}\n<script>\n\"use strict\";\n{HEAT}{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// Text as HTML, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in look::clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A chart: what `Plot::to_json` gives, drawn when the page is open. `alt` is text that tells what it shows. Labels in
/// the plot that come from other programs must have gone through [`escape`]: charts have a markup of their own.
pub(crate) fn chart(id: &str, plot_json: &str, alt: &str) -> String {
    let (id, alt) = (escape(id), escape(alt));
    let json = embedded(plot_json);
    format!(
        "<div class=\"chart\" id=\"{id}\">\n<div class=\"plot\" role=\"img\" aria-label=\"{alt}\"></div>\n\
         <script type=\"application/json\" class=\"data\">{json}</script>\n\
         <noscript><p>This chart needs JavaScript. It shows: {alt}</p></noscript>\n</div>\n"
    )
}

/// More data for the chart of this id, which the page's script knows how to use.
pub(crate) fn data(id: &str, class: &str, json: &str) -> String {
    let (id, class, json) = (escape(id), escape(class), embedded(json));
    format!(
        "<script type=\"application/json\" class=\"{class}\" data-of=\"{id}\">{json}</script>\n"
    )
}

/// JSON that no name in it can end the element of. All of these characters can only be in strings, or mean nothing.
fn embedded(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// The script that draws charts. What follows it there draws formulas, which there are none of.
fn plotly() -> String {
    const END: &str = "</script>";
    let scripts = plotly::Plot::offline_js_sources();
    let end = scripts.find(END).map_or(scripts.len(), |at| at + END.len());
    scripts[..end].replacen(" type=\"text/javascript\"", "", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page without the script that draws charts.
    fn own(page: &str) -> String {
        let script = plotly();
        assert_eq!(page.matches(&script).count(), 1, "it is there once");
        page.replace(&script, "")
    }

    #[test]
    fn a_page_has_the_charts_script_once_and_nothing_for_formulas() {
        let script = plotly();
        assert!(script.starts_with("<script>") && script.ends_with("</script>"));
        assert_eq!(script.matches("</script").count(), 1);
        assert!(script.contains("plotly.js v"));
        assert!(!script.contains("MathJax.loader"));
        assert!(script.len() < 4_800_000, "{}", script.len());
        let page = document("title", "<p>body</p>");
        assert!(own(&page).contains("<main>\n<p>body</p></main>"));
    }

    #[test]
    fn nothing_refers_to_the_network() {
        let body = chart("a", "{}", "b");
        let page = own(&document("title", &body));
        for part in [
            "http:", "https:", "src=", "href=", "url(", "@import", "//cdn",
        ] {
            assert!(!page.contains(part), "{part} in {page}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "</title></script><img src=x onerror=\"alert('&')\">\u{202e}\u{0}";
        assert_eq!(
            escape(hostile),
            "&lt;/title&gt;&lt;/script&gt;&lt;img src=x onerror=&quot;alert(&#39;&amp;&#39;)&quot;&gt;\u{fffd}\u{fffd}"
        );
        let page = own(&document(hostile, ""));
        assert!(!page.contains("<img"), "{page}");
    }

    #[test]
    fn names_in_data_cannot_end_its_element() {
        let json = serde_json::json!({"name": "</script><!--<script>\u{2028}\u{2029}"}).to_string();
        let shown = chart("id", &json, "alt");
        assert_eq!(shown.matches("</script").count(), 1, "{shown}");
        assert_eq!(shown.matches("<script").count(), 1, "{shown}");
        assert!(!shown.contains("<!--") && !shown.contains(['\u{2028}', '\u{2029}']));
        let begin = shown.find("\"data\">").expect("it is there") + 7;
        let end = shown.find("</script").expect("it is there");
        let parsed: serde_json::Value = serde_json::from_str(&shown[begin..end]).expect("JSON");
        assert_eq!(parsed["name"], "</script><!--<script>\u{2028}\u{2029}");
    }
}
