use super::*;
use crate::report::chart::{Axis, Chart, Point, Scale, Series, Unit};
use crate::report::svg::svg;

const NASTY: &str = "<script>\"&'";

fn page(text: &str) -> Page {
    let mut table = Table::new([text, "n"]).right(&[1]);
    table.row([text, text]);
    let section = || Section { heading: text.into(), tables: vec![table.clone(), table.clone()], notes: vec![text.into()] };
    let axis = || Axis::new(text, Unit::Count, Scale::Log);
    let series = vec![Series { name: text.into(), points: vec![Point::new(1.0, 1.0), Point::new(2.0, 3.0)] }];
    let chart = Chart { title: text.into(), x: axis(), y: axis(), series, steps: false };
    Page {
        title: text.into(),
        lead: text.into(),
        sections: vec![section(), section()],
        svg: Some(svg(&[chart]).unwrap()),
        facts: vec![(text.into(), text.into())],
        footer: vec![text.into()],
    }
}

/// The tags in order, `/` before the name of a closing one; the attributes with them.
fn tags(html: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some((_, tail)) = rest.split_once('<') {
        let (tag, after) = tail.split_once('>').expect("a tag ends");
        found.push(tag.split_once([' ', '\n']).unwrap_or((tag, "")));
        rest = after;
    }
    found
}

fn balanced(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    for (name, attributes) in tags(html) {
        match name.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed)),
            None if name == "!DOCTYPE" || name == "meta" || attributes.ends_with('/') => {}
            None => open.push(name),
        }
        assert!(attributes.matches('"').count() % 2 == 0, "{name} {attributes}");
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_page_is_well_formed_whatever_is_in_it() {
    for text in ["plain", NASTY, "</td></table></style>", "-->\" onload=\"x"] {
        let whole = html(&page(text));
        balanced(&whole);
        assert_eq!(tags(&whole).len(), tags(&html(&page("plain"))).len(), "{text}");
    }
    balanced(&html(&Page::default()));
}

#[test]
fn every_field_is_there_and_escaped() {
    let whole = html(&page(NASTY));
    let escaped = "&lt;script&gt;&quot;&amp;&#39;";
    let outside = format!("{}{}", whole.split("<svg").next().unwrap(), whole.split("</svg>").nth(1).unwrap());
    // title twice, lead; in each section a heading with two boxes named after it, two tables of three cells, a note; a fact; the footer
    assert_eq!(outside.matches(escaped).count(), 2 + 1 + 2 * (1 + 2 + 2 * 3 + 1) + 2 + 1);
    assert!(!whole.contains("<script") && !whole.contains(NASTY));
}

#[test]
fn it_needs_nothing_else() {
    let whole = html(&page("plain"));
    for word in ["<script", "<link", "<img", "src=", "href=", "url(", "@import", "@font-face", "javascript"] {
        assert!(!whole.contains(word), "{word}");
    }
    let addresses: Vec<&str> = whole.split("http").skip(1).map(|t| t.split('"').next().unwrap()).collect();
    assert_eq!(addresses, ["://www.w3.org/2000/svg"], "no more than the name space of SVG");
}

#[test]
fn readers_find_their_way() {
    let whole = html(&page("plain"));
    let all = tags(&whole);
    let headings: Vec<&str> = all.iter().map(|t| t.0).filter(|t| ["h1", "h2", "h3", "h4"].contains(t)).collect();
    assert_eq!(headings, ["h1", "h2", "h2", "h2"]);
    assert!(all.iter().filter(|t| t.0 == "th").all(|t| t.1.contains("scope=\"")));
    assert!(all.contains(&("html", "lang=\"en\"")) && whole.contains("<title>plain</title>"));
    assert!(all.iter().any(|t| t.0 == "svg" && t.1.contains("role=\"img\"") && t.1.contains("aria-label=\"plain\"")));
    assert_eq!(all.iter().filter(|t| t.0 == "div" && t.1.contains("class=\"box\"")).count(), 4, "each table in its box");
    assert!(whole.contains("name=\"viewport\"") && whole.contains("prefers-color-scheme: dark") && whole.contains("@media print"));
}

#[test]
fn what_is_empty_leaves_no_trace() {
    let whole = html(&Page { title: "t".into(), ..Page::default() });
    for tag in ["<p", "<section", "<figure", "<footer", "<dl"] {
        assert!(!whole.contains(tag), "{tag}");
    }
    let notes = html(&Page { footer: vec![String::new(), "x".into()], ..Page::default() });
    assert_eq!(notes.matches("<p>").count(), 1);
}
