//! The scaffold of pages for the browser: one file with everything in it.

use crate::failure::printable;

const STYLE: &str = "body { font: 16px/1.5 sans-serif; max-width: 1100px; margin: 2em auto; }
table { border-collapse: collapse; } th, td { padding: 4px 10px; border-bottom: 1px solid #ddd; text-align: left; }
.number { text-align: right; } .warning { border-left: 4px solid #e69f00; padding-left: 1em; }
@media print { section { break-inside: avoid; } }";

const SCRIPT: &str = "document.querySelectorAll('.chart').forEach(chart => {
const plot = JSON.parse(chart.querySelector('.data').textContent);
Plotly.newPlot(chart.querySelector('.plot'), plot.data, plot.layout, plot.config); });";

/// A complete page with a body, which is HTML. The title is text.
pub(crate) fn document(title: &str, body: &str) -> String {
    const END: &str = "</script>";
    let scripts = plotly::Plot::offline_js_sources();
    // What follows it draws formulas, which there are none of.
    let end = scripts.find(END).map_or(scripts.len(), |at| at + END.len());
    let (title, plotly) = (escape(title), &scripts[..end]);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}{plotly}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// Text as HTML, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let text = printable(text).replace('&', "&amp;");
    let text = text.replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

/// A chart: what `Plot::to_json` gives, drawn when the page is open. `alt` is text that tells what it shows.
pub(crate) fn chart(id: &str, plot_json: &str, alt: &str) -> String {
    let (id, alt) = (escape(id), escape(alt));
    let json = plot_json.replace('<', "\\u003c");
    format!(
        "<div class=\"chart\" id=\"{id}\">\n<div class=\"plot\" role=\"img\" aria-label=\"{alt}\"></div>\n\
         <script type=\"application/json\" class=\"data\">{json}</script>\n</div>\n"
    )
}
