//! The comparison as a page for the browser.

use super::compare::{Comparison, Mapping, Program};
use super::quantity::{Quantity, Unit, change};
use super::text::CAUTION;
use crate::numbers::{grouped, percent, short};
use crate::plain::cut_front;
use crate::report::page::{chart, document, escape};
use plotly::common::{Anchor, Orientation};
use plotly::configuration::DisplayModeBar;
use plotly::layout::{Axis, AxisType, BarMode, Legend, Margin, RangeMode};
use plotly::{Bar, Configuration, Layout, Plot};

/// Mappings in a chart.
const CHARTED: usize = 12;
/// Mappings in a table.
const LISTED: usize = 100;
/// Before and after: blue and orange of Okabe and Ito, which differ in brightness, too.
const COLORS: [&str; 2] = ["#0072b2", "#e69f00"];

/// The whole page.
pub(super) fn page(comparison: &Comparison) -> String {
    let [before, after] = comparison.sides.each_ref().map(|side| escape(side));
    let mut body = format!(
        "<h1>What has changed</h1>\n<dl><dt>before</dt><dd>{before}</dd><dt>after</dt><dd>{after}</dd></dl>\n"
    );
    for warning in &comparison.warnings {
        body += &format!("<p class=\"warning\">{}</p>\n", escape(warning));
    }
    body += &format!(
        "<section>\n<h2>All processes</h2>\n{}</section>\n",
        quantities(&comparison.totals)
    );
    for (number, program) in comparison.programs.iter().enumerate() {
        body += &section(program, number);
    }
    body += &format!("<p class=\"note\">{}</p>\n", escape(CAUTION));
    document("vmmload: what has changed", &body)
}

fn section(program: &Program, number: usize) -> String {
    let [before, after] = program.processes;
    let name = escape(&program.name);
    let numbers = quantities(&program.quantities);
    let mut section = format!(
        "<section>\n<h2>{name}</h2>\n<p class=\"lead\">Processes of this name: {before} before, {after} after</p>\n{numbers}"
    );
    if !program.mappings.is_empty() {
        section += "<h3>Mappings, those whose events changed most first</h3>\n";
        for (what, title, of) in CHARTS {
            let json = plot(&program.mappings, title, of).to_json();
            let alt = format!(
                "{title} of the mappings of {}, before and after",
                program.name
            );
            section += &chart(&format!("{what}-{number}"), &json, &alt);
        }
        section += &mappings(&program.mappings);
    }
    section + "</section>\n"
}

/// What a chart shows of a mapping, before and after.
type Values = fn(&Mapping) -> [f64; 2];

/// Part of the id, title, values.
const CHARTS: [(&str, &str, Values); 2] = [
    ("rate", "Events in a second", |mapping| {
        mapping.rates().map(|rate| rate.unwrap_or(0.0))
    }),
    ("pages", "Distinct pages", |mapping| {
        mapping
            .sides
            .map(|side| side.map_or(0.0, |side| side.pages as f64))
    }),
];

/// Bars side by side.
fn plot(mappings: &[Mapping], title: &str, of: Values) -> Plot {
    let shown = || mappings.iter().take(CHARTED);
    // Charts have a markup of their own, and bars of one name would be one: each name is there once only, as the
    // mappings are by name, but for what is cut.
    let names: Vec<String> = shown()
        .enumerate()
        .map(|(index, mapping)| {
            let name = escape(&cut_front(&mapping.name, 44));
            format!("{name}{}", "\u{200b}".repeat(index))
        })
        .collect();
    let mut plot = Plot::new();
    for (side, name) in ["before", "after"].into_iter().enumerate() {
        let values: Vec<f64> = shown().map(|mapping| of(mapping)[side]).collect();
        let bars = Bar::new(values, names.clone())
            .name(name)
            .orientation(Orientation::Horizontal)
            .marker(plotly::common::Marker::new().color(COLORS[side]));
        plot.add_trace(bars);
    }
    let height = 130 + 44 * names.len();
    let values = Axis::new()
        .title(title)
        .range_mode(RangeMode::ToZero)
        .separate_thousands(true)
        .grid_color("#e6e8eb");
    // The first one at the top.
    let names = Axis::new()
        .type_(AxisType::Category)
        .range(vec![names.len() as f64 - 0.5, -0.5])
        .auto_margin(true);
    let legend = Legend::new()
        .orientation(Orientation::Horizontal)
        .x(0.0)
        .y(1.0)
        .y_anchor(Anchor::Bottom);
    plot.set_layout(
        Layout::new()
            .height(height)
            .auto_size(true)
            .bar_mode(BarMode::Group)
            .margin(Margin::new().left(72).right(24).top(44).bottom(56))
            .paper_background_color("#ffffff")
            .plot_background_color("#ffffff")
            .separators(".,")
            .legend(legend)
            .x_axis(values)
            .y_axis(names),
    );
    plot.set_configuration(
        Configuration::new()
            .responsive(true)
            .display_logo(false)
            .display_mode_bar(DisplayModeBar::Hover)
            // Dollars in names are no formulas.
            .typeset_math(false)
            .show_link(false),
    );
    plot
}

fn quantities(all: &[Quantity]) -> String {
    let row = |quantity: &Quantity| {
        let [before, after] = quantity.shown();
        vec![quantity.name.to_owned(), before, after, quantity.change()]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    table(&["", "before", "after", "change"], &rows)
}

fn mappings(all: &[Mapping]) -> String {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let row = |mapping: &Mapping| {
        let mut cells = vec![mapping.name.clone()];
        cells.extend(mapping.rates().map(|rate| shown(rate.map(short))));
        cells.push(change(mapping.rates(), Unit::Rate));
        cells.extend(
            mapping
                .sides
                .map(|side| shown(side.map(|side| grouped(side.pages)))),
        );
        let frequency = |side: Option<f64>| shown(side.map(|share| percent(share, 1.0)));
        cells.extend(
            mapping
                .sides
                .map(|side| frequency(side.map(|side| side.frequency))),
        );
        cells
    };
    let rows: Vec<Vec<String>> = all.iter().take(LISTED).map(row).collect();
    let heads = [
        "mapping",
        "events/s before",
        "after",
        "change",
        "pages before",
        "after",
        "of the epochs before",
        "after",
    ];
    let rest = all.len() - rows.len();
    let more = match rest {
        0 => String::new(),
        _ => format!(
            "<p class=\"note\">and {} more that changed less</p>\n",
            grouped(rest as u64)
        ),
    };
    table(&heads, &rows) + &more
}

/// A table whose cells are text. The first cell of a row is its head, the others are numbers.
fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let class = |column: usize| if column == 0 { "" } else { " class=\"number\"" };
    let head = |(column, head): (usize, &&str)| {
        format!("<th scope=\"col\"{}>{}</th>", class(column), escape(head))
    };
    let cell = |(column, cell): (usize, &String)| match column {
        0 => format!("<th scope=\"row\"><bdi>{}</bdi></th>", escape(cell)),
        _ => format!("<td class=\"number\">{}</td>", escape(cell)),
    };
    let heads: String = heads.iter().enumerate().map(head).collect();
    let rows: String = rows
        .iter()
        .map(|row| {
            let cells: String = row.iter().enumerate().map(cell).collect();
            format!("<tr>{cells}</tr>\n")
        })
        .collect();
    format!(
        "<div class=\"scroll\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::changed;
    use super::*;

    #[test]
    fn names_of_the_program_are_text_and_charts_have_both_sides() {
        let page = page(&changed());
        let (_, body) = page.split_once("<h1>").unwrap();
        assert!(body.contains("&lt;img src=x onerror=1&gt;"), "{body}");
        assert!(!body.contains("<img"));
        assert!(body.contains("\"name\":\"before\"") && body.contains("\"name\":\"after\""));
        assert!(body.contains("id=\"rate-0\"") && body.contains("id=\"pages-0\""));
    }
}
