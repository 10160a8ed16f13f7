//! A report as one page that needs nothing else: no script, no outside fonts, pictures or styles.

use super::Table;
use super::look::night;
use super::text::escape;

/// A part of a [`Page`].
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// Its heading.
    pub heading: String,
    /// Its tables, each in a box of its own that scrolls where it is too wide.
    pub tables: Vec<Table>,
    /// Paragraphs under them.
    pub notes: Vec<String>,
}

/// What stands in a report. All of it is plain text, except `svg`.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Title of the page and its first heading.
    pub title: String,
    /// The paragraph under it; may be empty.
    pub lead: String,
    /// Tables and notes.
    pub sections: Vec<Section>,
    /// A picture made by [`super::svg::svg`]; goes into the page as it is.
    pub svg: Option<String>,
    /// Names and values: the machine.
    pub facts: Vec<(String, String)>,
    /// Paragraphs at the end: what was timed and what was not.
    pub footer: Vec<String>,
}

/// The page as a complete HTML document.
pub fn html(page: &Page) -> String {
    let title = escape(&page.title);
    let lead = paragraphs(std::slice::from_ref(&page.lead), " class=\"lead\"");
    let picture = page.svg.as_ref().map_or(String::new(), |svg| boxed("figure", "Charts", svg));
    let sections: String = page.sections.iter().map(section).collect();
    let footer = match paragraphs(&page.footer, "") {
        text if text.is_empty() => text,
        text => format!("<footer>\n{text}</footer>\n"),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{}@media screen and (prefers-color-scheme: dark) {{\n{}}}\n</style>\n</head>\n<body>\n\
         <header>\n<h1>{title}</h1>\n{lead}</header>\n<main>\n{picture}{sections}{}</main>\n{footer}</body>\n</html>\n",
        include_str!("page.css"),
        night(),
        facts(&page.facts),
    )
}

fn section(section: &Section) -> String {
    let tables: String = section.tables.iter().map(|t| boxed("div", &section.heading, &t.html())).collect();
    format!("<section>\n<h2>{}</h2>\n{tables}{}</section>\n", escape(&section.heading), paragraphs(&section.notes, " class=\"note\""))
}

/// A box that scrolls, by keyboard too.
fn boxed(tag: &str, label: &str, content: &str) -> String {
    format!("<{tag} class=\"box\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n{content}</{tag}>\n", escape(label))
}

fn paragraphs(texts: &[String], attributes: &str) -> String {
    texts.iter().filter(|t| !t.is_empty()).map(|t| format!("<p{attributes}>{}</p>\n", escape(t))).collect()
}

fn facts(facts: &[(String, String)]) -> String {
    if facts.is_empty() {
        return String::new();
    }
    let rows: String =
        facts.iter().map(|(name, value)| format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value))).collect();
    format!("<section>\n<h2>Machine</h2>\n<dl>\n{rows}</dl>\n</section>\n")
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;
